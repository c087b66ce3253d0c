//! loom's lock and condition, in the words of `parking_lot`.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use loom::sync;

/// See `parking_lot::Mutex`.
#[derive(Debug)]
pub struct Mutex<T>(sync::Mutex<T>);

/// See `parking_lot::MutexGuard`. Empty only while its thread waits.
#[derive(Debug)]
pub struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

/// See `parking_lot::Condvar`. No wait ends by its time.
#[derive(Debug)]
pub struct Condvar(sync::Condvar);

const HELD: &str = "a guard is empty only within a wait";
const SOUND: &str = "a model ends with its first panic";

impl<T> Mutex<T> {
    /// An open lock.
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().expect(SOUND)))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect(HELD)
    }
}

impl Condvar {
    /// A condition that nobody waits for.
    #[expect(clippy::new_without_default, reason = "what the queue calls")]
    pub fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Waits for a notification.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect(HELD);
        guard.0 = Some(self.0.wait(held).expect(SOUND));
    }

    /// The same.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) {
        self.wait(guard);
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
