//! A user's name in two words, as the directory keeps it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes of a name that needs no allocation: most logins.
const SHORT_BYTES: usize = 14;

/// A name. Cheap to clone.
#[derive(Clone)]
pub struct Name(Kept);

#[derive(Clone)]
enum Kept {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<Arc<str>>),
}

impl Name {
    /// The name that `name` is.
    pub fn of(name: &Arc<str>) -> Self {
        let len = name.len();
        if len > SHORT_BYTES {
            return Self(Kept::Long(Box::new(Arc::clone(name))));
        }
        let mut bytes = [0; SHORT_BYTES];
        bytes[..len].copy_from_slice(name.as_bytes());
        Self(Kept::Short { len: len as u8, bytes })
    }
}

/// Nobody's.
impl Default for Name {
    fn default() -> Self {
        Self(Kept::Short { len: 0, bytes: [0; SHORT_BYTES] })
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Kept::Short { len, bytes } => {
                str::from_utf8(&bytes[..usize::from(*len)]).expect("it is a whole str's bytes")
            }
            Kept::Long(name) => name,
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_was_and_two_words_long() {
        assert_eq!(size_of::<Name>(), 16);
        assert_eq!(*Name::default(), *"");
        for name in ["", "a", "fourteen bytes", "fifteen bytes !", "éééé", "ééééééé", "éééééééé"]
        {
            assert_eq!(*Name::of(&name.into()), *name);
        }
    }
}
