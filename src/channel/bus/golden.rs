//! What the real `channels_redis` put on the wire: `tests/interop/golden.json`, which `tests/interop/golden.py` writes.

use serde_json::Value;

/// The whole file.
pub(super) fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/interop/golden.json")).unwrap()
}

/// The entries of one section; there are some.
pub(super) fn section(name: &str) -> Vec<Value> {
    let entries = golden()[name].as_array().unwrap().clone();
    assert!(!entries.is_empty());
    entries
}

/// The bytes that a hexadecimal text stands for.
pub(super) fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
