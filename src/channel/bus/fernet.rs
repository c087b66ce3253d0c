//! Fernet, the form in which channels_redis encrypts messages: AES-128-CBC, HMAC-SHA256 over all of it, base64.
//!
//! ```text
//! base64url( 0x80 | seconds since 1970, 8 bytes | IV, 16 | ciphertext, PKCS #7 | HMAC, 32 )
//! ```

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::time::Timestamp;

const VERSION: u8 = 0x80;
const IV_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
/// How far ahead of ours a sender's clock may be, seconds.
const SKEW_S: i64 = 60;

const TAKES_AES: &str = "CBC takes a key of AES";

/// Why a token is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenFlaw {
    /// Its form is not that of a token: sent in the clear, for instance.
    #[error("it is no Fernet token")]
    Malformed,
    /// None of the keys made it, or it was changed on the way.
    #[error("none of the keys fits")]
    WrongKey,
    /// It is older than messages live.
    #[error("it has expired")]
    Expired,
    /// The sender's clock is more than a minute ahead.
    #[error("it is from the future")]
    Future,
}

/// The keys of a deployment: the first encrypts, each decrypts.
pub(super) struct Keys(Vec<Key>);

struct Key {
    signing: hmac::Key,
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
}

impl Keys {
    /// The keys behind `configured`, as channels_redis derives them: by SHA-256. `None` where there are none.
    pub(super) fn new<'a>(configured: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let keys: Vec<Key> = configured.into_iter().map(Key::new).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// `plain` as a token of the first key. `iv` is random and used for no other.
    pub(super) fn seal(&self, plain: &[u8], now: Timestamp, iv: [u8; IV_BYTES]) -> String {
        let key = &self.0[0];
        let mut body = plain.to_vec();
        key.encrypting
            .less_safe_encrypt(&mut body, EncryptionContext::Iv128(iv.into()))
            .expect("an IV is what CBC takes, and PKCS #7 pads any length");
        let mut token = Vec::with_capacity(1 + 8 + IV_BYTES + body.len() + MAC_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&now.unix_seconds().to_be_bytes());
        token.extend_from_slice(&iv);
        token.extend_from_slice(&body);
        let mac = hmac::sign(&key.signing, &token);
        token.extend_from_slice(mac.as_ref());
        URL_SAFE.encode(token)
    }

    /// What is in `token`, which one of the keys made at most `ttl_s` seconds ago. Without `ttl_s` its age is not asked for.
    pub(super) fn open(
        &self,
        token: &[u8],
        now: Timestamp,
        ttl_s: Option<i64>,
    ) -> Result<Vec<u8>, TokenFlaw> {
        let token = URL_SAFE.decode(token).map_err(|_| TokenFlaw::Malformed)?;
        let (signed, mac) = token.split_last_chunk::<MAC_BYTES>().ok_or(TokenFlaw::Malformed)?;
        let ([VERSION, made_at @ ..], rest) =
            signed.split_first_chunk::<9>().ok_or(TokenFlaw::Malformed)?
        else {
            return Err(TokenFlaw::Malformed);
        };
        let (iv, body) = rest.split_first_chunk::<IV_BYTES>().ok_or(TokenFlaw::Malformed)?;
        let fits = |key: &&Key| hmac::verify(&key.signing, signed, mac).is_ok();
        let key = self.0.iter().find(fits).ok_or(TokenFlaw::WrongKey)?;
        if let Some(ttl_s) = ttl_s {
            check_age(i64::from_be_bytes(*made_at), now.unix_seconds(), ttl_s)?;
        }
        let mut body = body.to_vec();
        let plain = key
            .decrypting
            .decrypt(&mut body, DecryptionContext::Iv128((*iv).into()))
            .map_err(|_| TokenFlaw::Malformed)?;
        Ok(plain.to_vec())
    }
}

/// As `cryptography` checks it: to the second, both bounds included.
fn check_age(made_at: i64, now: i64, ttl_s: i64) -> Result<(), TokenFlaw> {
    if made_at.saturating_add(ttl_s) < now {
        Err(TokenFlaw::Expired)
    } else if now.saturating_add(SKEW_S) < made_at {
        Err(TokenFlaw::Future)
    } else {
        Ok(())
    }
}

impl Key {
    fn new(configured: &str) -> Self {
        let derived = digest::digest(&digest::SHA256, configured.as_bytes());
        let (signing, encryption) = derived.as_ref().split_at(16);
        let cipher =
            || UnboundCipherKey::new(&AES_128, encryption).expect("half of a SHA-256 is 16 bytes");
        Self {
            signing: hmac::Key::new(hmac::HMAC_SHA256, signing),
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(cipher()).expect(TAKES_AES),
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(cipher()).expect(TAKES_AES),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_704_067_200_000_000);

    fn keys(configured: &[&str]) -> Keys {
        Keys::new(configured.iter().copied()).unwrap()
    }

    fn later(seconds: i64) -> Timestamp {
        NOW.plus_ms(seconds * 1_000)
    }

    #[test]
    fn the_first_key_seals_and_each_opens() {
        let old = keys(&["old"]).seal(b"x", NOW, [0; 16]);
        let both = keys(&["new", "old"]);
        assert_eq!(both.open(old.as_bytes(), NOW, None).unwrap(), b"x");
        let new = both.seal(b"x", NOW, [0; 16]);
        assert_eq!(keys(&["new"]).open(new.as_bytes(), NOW, None).unwrap(), b"x");
        assert_eq!(keys(&["old"]).open(new.as_bytes(), NOW, None), Err(TokenFlaw::WrongKey));
        assert!(Keys::new([]).is_none());
    }

    #[test]
    fn a_token_lives_as_long_as_it_is_given() {
        let keys = keys(&["k"]);
        let token = keys.seal(b"x", NOW, [0; 16]);
        let open = |at, ttl_s| keys.open(token.as_bytes(), at, ttl_s);
        for (seconds, flaw) in [
            (0, None),
            (70, None),
            (71, Some(TokenFlaw::Expired)),
            (-60, None),
            (-61, Some(TokenFlaw::Future)),
        ] {
            assert_eq!(open(later(seconds), Some(70)).err(), flaw, "{seconds} s");
            assert!(open(later(seconds), None).is_ok());
        }
        assert_eq!(check_age(i64::MAX, 0, i64::MAX), Err(TokenFlaw::Future));
        assert_eq!(check_age(i64::MIN, 0, 70), Err(TokenFlaw::Expired));
    }

    #[test]
    fn what_was_changed_is_not_believed() {
        let keys = keys(&["k"]);
        let sealed = URL_SAFE.decode(keys.seal(b"some text", NOW, [7; 16])).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let flaw = if at == 0 { TokenFlaw::Malformed } else { TokenFlaw::WrongKey };
            assert_eq!(
                keys.open(URL_SAFE.encode(changed).as_bytes(), NOW, None),
                Err(flaw),
                "byte {at}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(plain in prop::collection::vec(any::<u8>(), 0..100), iv in any::<[u8; 16]>()) {
            let keys = keys(&["k"]);
            let token = keys.seal(&plain, NOW, iv);
            prop_assert_eq!(keys.open(token.as_bytes(), NOW, Some(0)), Ok(plain));
        }

        #[test]
        fn any_bytes_are_opened_or_refused(token in prop::collection::vec(any::<u8>(), 0..200)) {
            let keys = keys(&["k"]);
            prop_assert!(keys.open(&token, NOW, None).is_err());
            prop_assert!(keys.open(URL_SAFE.encode(&token).as_bytes(), NOW, None).is_err());
            // With a signature that fits, whatever is signed.
            let mut signed = [&[VERSION][..], &token].concat();
            let mac = hmac::sign(&keys.0[0].signing, &signed);
            signed.extend_from_slice(mac.as_ref());
            let _ = keys.open(URL_SAFE.encode(signed).as_bytes(), NOW, Some(70));
        }
    }
}
