use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"the current secret, at least 32 bytes";
const PREVIOUS: &[u8] = b"the previous secret, at least 32 bytes";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
const JTI: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// What `issue` must equal byte for byte, made by an independent implementation (Python's `hmac`, `hashlib`, `base64`).
const FOREIGN_MADE: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjoxNzAwMDAzNjAwLCJpYXQiOjE3MDAwMDAwMDAsImp0aSI6IjBmMWUyZDNjNGI1YTY5Nzg4Nzk2YTViNGMzZDJlMWYwIiwidXNlcl9pZCI6IjcifQ.zRdMbYzlotKerOg7qTrgSNl-4-4Q4M8ruPdjtc1JWNk";

fn verifier() -> Verifier {
    Verifier::new(&[SECRET, PREVIOUS, b""], None, None)
}

/// simplejwt's claims with `changes` made; a change to `null` takes the claim away.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "token_type": "access", "exp": 1_700_003_600, "iat": 1_699_999_000, "jti": JTI, "user_id": 7
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn signed(alg: Algorithm, secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(alg), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// Signs exactly these texts with HS256.
fn signed_text(header: &str, payload: &[u8]) -> String {
    let message = format!("{}.{}", base64url(header.as_bytes()), base64url(payload));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// RFC 4648 §5, unpadded.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word =
            three.iter().chain(&[0, 0]).take(3).fold(0, |word, b| word << 8 | usize::from(*b));
        for digit in 0..=three.len() {
            text.push(char::from(ALPHABET[word >> (18 - 6 * digit) & 63]));
        }
    }
    text
}

fn verify(changes: &Value) -> Result<Claims, AuthError> {
    verifier().verify(&signed(Algorithm::HS256, SECRET, &claims(changes)), NOW)
}

#[test]
fn a_token_of_simplejwt_is_read_in_both_forms_of_its_id() {
    let expected = Claims {
        user: UserId(7),
        expires_at: Timestamp::from_unix_seconds(1_700_003_600),
        issued_at: Some(Timestamp::from_unix_seconds(1_699_999_000)),
        jti: Some(JTI.into()),
    };
    assert_eq!(verify(&json!({})), Ok(expected.clone()));
    assert_eq!(verify(&json!({"user_id": "7"})), Ok(expected.clone()));
    assert_eq!(verify(&json!({"token_type": null, "x": [1]})), Ok(expected));
    let bare = verify(&json!({"token_type": null, "iat": null, "jti": null})).unwrap();
    assert_eq!((bare.issued_at, bare.jti), (None, None));
}

#[test]
fn a_claim_that_is_missing_or_wrong_is_refused() {
    for changes in [
        json!({"user_id": null}),
        json!({"user_id": 0}),
        json!({"user_id": -7}),
        json!({"user_id": 7.0}),
        json!({"user_id": "0"}),
        json!({"user_id": ""}),
        json!({"user_id": "+7"}),
        json!({"user_id": "-7"}),
        json!({"user_id": " 7"}),
        json!({"user_id": "٧"}),
        json!({"user_id": "9223372036854775808"}),
        json!({"user_id": 9_223_372_036_854_775_808_u64}),
        json!({"user_id": [7]}),
        json!({"user_id": true}),
        json!({"token_type": "refresh"}),
        json!({"token_type": "ACCESS"}),
        json!({"token_type": 1}),
        json!({"token_type": ["access"]}),
        json!({"token_type": {"access": null}}),
        json!({"exp": null}),
        json!({"exp": "1700003600"}),
        json!({"exp": true}),
        json!({"exp": [1_700_003_600]}),
        json!({"nbf": "soon"}),
        json!({"iat": "then"}),
        json!({"jti": 7}),
    ] {
        assert_eq!(verify(&changes), Err(AuthError::Invalid), "{changes}");
    }
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    for payload in [
        &br#"{"exp":1700003600,"user_id":7,"token_type":null}"#[..],
        br#"{"exp":null,"user_id":7}"#,
        br#"{"exp":1e999,"user_id":7}"#,
        br#"{"exp":1700003600,"exp":1700003601,"user_id":7}"#,
        br#"{"exp":1700003600,"user_id":7,"user_id":8}"#,
        b"{\"exp\":1700003600,\"user_id\":7,\"jti\":\"\xff\"}",
        b"[1700003600]",
        b"",
    ] {
        let token = signed_text(header, payload);
        assert_eq!(verifier().verify(&token, NOW), Err(AuthError::Invalid));
    }
}

#[test]
fn time_is_the_callers_and_has_no_leeway() {
    for (changes, outcome) in [
        (json!({"exp": 1_700_000_001}), Ok(1_700_000_001)),
        (json!({"exp": 1_700_000_000}), Err(AuthError::Expired)),
        (json!({"exp": 1_699_999_999}), Err(AuthError::Expired)),
        (json!({"exp": 1_700_000_001.9}), Ok(1_700_000_001)),
        (json!({"exp": 1_700_000_000.9}), Err(AuthError::Expired)),
        (json!({"exp": 0}), Err(AuthError::Expired)),
        (json!({"exp": -1}), Err(AuthError::Expired)),
        (json!({"exp": -1e300}), Err(AuthError::Expired)),
        (json!({"exp": 1e300}), Ok(LAST_SECOND)),
        (json!({"exp": u64::MAX}), Ok(LAST_SECOND)),
        (json!({"exp": i64::MAX}), Ok(LAST_SECOND)),
        (json!({"nbf": 1_700_000_000}), Ok(1_700_003_600)),
        (json!({"nbf": 1_700_000_001}), Err(AuthError::Invalid)),
        (json!({"iat": 1_700_000_009}), Ok(1_700_003_600)),
        (json!({"exp": 1, "token_type": "refresh"}), Err(AuthError::Invalid)),
    ] {
        let expires_at = verify(&changes).map(|claims| claims.expires_at.unix_seconds());
        assert_eq!(expires_at, outcome, "{changes}");
    }
    assert_eq!(Timestamp::from_unix_seconds(LAST_SECOND).to_string(), "9999-12-31T23:59:59Z");
}

#[test]
fn only_hs256_under_an_accepted_secret_is_believed() {
    let good = claims(&json!({}));
    let accepted = |token: &str| verifier().verify(token, NOW);
    assert!(accepted(&signed(Algorithm::HS256, SECRET, &good)).is_ok());
    assert!(accepted(&signed(Algorithm::HS256, PREVIOUS, &good)).is_ok());
    for (alg, secret) in [
        (Algorithm::HS256, &b"a foreign secret, at least 32 bytes!!"[..]),
        (Algorithm::HS256, b""),
        (Algorithm::HS384, SECRET),
        (Algorithm::HS512, SECRET),
    ] {
        assert_eq!(accepted(&signed(alg, secret, &good)), Err(AuthError::Invalid), "{alg:?}");
    }
    let payload = good.to_string();
    for header in [
        r#"{"alg":"none","typ":"JWT"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"RS256","typ":"JWT"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        "{",
        "[]",
        "\u{0}",
        "",
    ] {
        let token = signed_text(header, payload.as_bytes());
        assert_eq!(accepted(&token), Err(AuthError::Invalid), "{header}");
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        assert_eq!(accepted(&unsigned), Err(AuthError::Invalid), "{header}");
    }
}

#[test]
fn nothing_is_believed_without_a_secret() {
    let good = claims(&json!({}));
    for secrets in [&[][..], &[&b""[..]]] {
        let verifier = Verifier::new(secrets, None, None);
        for secret in [&b""[..], SECRET] {
            let token = signed(Algorithm::HS256, secret, &good);
            assert_eq!(verifier.verify(&token, NOW), Err(AuthError::Invalid));
        }
    }
}

#[test]
fn a_token_with_any_byte_changed_is_refused() {
    let token = signed(Algorithm::HS256, SECRET, &claims(&json!({})));
    for at in 0..token.len() {
        for other in ['A', 'B', '.', '=', 'é'] {
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            if changed != token {
                assert_eq!(verifier().verify(&changed, NOW), Err(AuthError::Invalid), "{changed}");
            }
        }
        assert!(verifier().verify(&token[..at], NOW).is_err());
    }
}

#[test]
fn texts_that_are_no_tokens_are_refused() {
    assert_eq!(verifier().verify("", NOW), Err(AuthError::Missing));
    let long_jti = |len: usize| {
        let claims = claims(&json!({"jti": "x".repeat(len)}));
        signed(Algorithm::HS256, SECRET, &claims)
    };
    let (fits, long) = (long_jti(2_700), long_jti(3_000));
    assert!(fits.len() <= TOKEN_BYTES_MAX && long.len() > TOKEN_BYTES_MAX);
    assert!(verifier().verify(&fits, NOW).is_ok());
    for text in [&*long, ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", " ", "\0", "é.é.é"] {
        assert_eq!(verifier().verify(text, NOW), Err(AuthError::Invalid));
    }
}

#[test]
fn audience_and_issuer_count_only_where_configured() {
    let with = |audience: Option<&str>, issuer: Option<&str>, changes: &Value| {
        Verifier::new(&[SECRET], audience.map(Into::into), issuer.map(Into::into))
            .verify(&signed(Algorithm::HS256, SECRET, &claims(changes)), NOW)
            .is_ok()
    };
    let (aud, iss) = (Some("app"), Some("django"));
    for (audience, issuer, changes, is_valid) in [
        (None, None, json!({"aud": "any", "iss": "any"}), true),
        (None, None, json!({"aud": 7, "iss": 7}), true),
        (aud, None, json!({"aud": "app"}), true),
        (aud, None, json!({"aud": ["other", "app"], "iss": "any"}), true),
        (aud, None, json!({"aud": "other"}), false),
        (aud, None, json!({"aud": ["other"]}), false),
        (aud, None, json!({"aud": []}), false),
        (aud, None, json!({"aud": 7}), false),
        (aud, None, json!({}), false),
        (None, iss, json!({"iss": "django", "aud": "any"}), true),
        (None, iss, json!({"iss": "other"}), false),
        (None, iss, json!({"iss": 7}), false),
        (None, iss, json!({}), false),
        (aud, iss, json!({"aud": "app", "iss": "django"}), true),
    ] {
        assert_eq!(with(audience, issuer, &changes), is_valid, "{audience:?} {issuer:?} {changes}");
    }
}

#[test]
fn a_token_of_ours_is_what_simplejwt_would_have_written() {
    let token = issue(SECRET, UserId(7), 3_600, NOW, 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0);
    assert_eq!(token, FOREIGN_MADE);
    let claims = verifier().verify(&token, NOW).unwrap();
    assert_eq!(claims.user, UserId(7));
    assert_eq!(claims.expires_at, NOW.plus_ms(3_600_000));
    assert_eq!(claims.issued_at, Some(NOW));
    assert_eq!(claims.jti.as_deref(), Some(JTI));
    let small = issue(SECRET, UserId(1), -1, NOW, 1);
    assert_eq!(verifier().verify(&small, NOW), Err(AuthError::Expired));
}

#[test]
fn what_is_taken_for_a_plain_header_is_one() {
    let plain = ["{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"];
    assert_eq!(plain.map(|header| base64url(header.as_bytes())), PLAIN_HEADERS);
    // The same header written otherwise, and one with more in it, are read.
    let payload = claims(&json!({})).to_string();
    for header in [r#"{"alg": "HS256"}"#, r#"{"alg":"HS256","typ":"JWT","kid":"1","x":[1]}"#] {
        assert!(
            verifier().verify(&signed_text(header, payload.as_bytes()), NOW).is_ok(),
            "{header}"
        );
    }
    // Four parts are none of ours, whatever the first ones are.
    let token = signed_text(plain[0], payload.as_bytes());
    assert_eq!(
        verifier().verify(&format!("{}.{token}", PLAIN_HEADERS[0]), NOW),
        Err(AuthError::Invalid)
    );
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", verifier());
    assert!(!shown.contains("secret,") && !shown.contains("116, 104, 101"), "{shown}");
}
