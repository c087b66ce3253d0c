//! Panics of the code under test, which the server catches and survives: in a run none is expected but the store's own.

use std::cell::{Cell, RefCell};
use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::store::PANIC;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// From here on, panics of this thread are collected instead of printed.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(
            move |info| {
                if IS_WATCHED.get() { note(info) } else { print(info) }
            },
        ));
    });
    IS_WATCHED.set(true);
    take();
}

/// What panicked since the last call.
pub(crate) fn take() -> Vec<String> {
    SEEN.take()
}

fn note(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    if text != Some(PANIC) {
        SEEN.with_borrow_mut(|seen| seen.push(format!("{info}")));
    }
}
