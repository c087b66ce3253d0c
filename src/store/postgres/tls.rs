//! Encryption of the connection: whom we trust, and how far, by `sslmode`.

use std::path::Path;
use std::sync::Arc;

use postgres::config::SslMode;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{PostgresSettings, TlsMode};
use crate::store::{StoreError, StoreErrorKind};

/// What `settings` asks for: whether to encrypt, and what decides whom to trust; `None` where nothing is encrypted.
///
/// The authorities are read anew at every call, so that a renewed file is seen at the next connection.
///
/// # Errors
///
/// [`StoreErrorKind::Denied`] where there are no authorities to trust; it names the file.
pub(super) fn connector(
    settings: &PostgresSettings,
) -> Result<(SslMode, Option<MakeRustlsConnect>), StoreError> {
    let mode = match settings.tls {
        TlsMode::Disable => return Ok((SslMode::Disable, None)),
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trust = trust(settings, &provider)?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| untrusted(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { trust, provider }))
        .with_no_client_auth();
    Ok((mode, Some(MakeRustlsConnect::new(config))))
}

/// How a server's certificate is judged.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trust {
    /// Whoever answers.
    Anyone,
    /// Whom the authorities vouch for.
    Authorities {
        chain: Arc<WebPkiServerVerifier>,
        /// A server's own certificate may stand in the file in an authority's place.
        itself: Vec<CertificateDer<'static>>,
        /// True exactly when the certificate must name the host.
        is_name_checked: bool,
    },
}

fn trust(settings: &PostgresSettings, provider: &Arc<CryptoProvider>) -> Result<Trust, StoreError> {
    let is_name_checked = match (settings.tls, &settings.ca_file) {
        (TlsMode::Disable | TlsMode::Prefer, _) | (TlsMode::Require, None) => {
            return Ok(Trust::Anyone);
        }
        (TlsMode::Require, Some(_)) | (TlsMode::VerifyCa, _) => false,
        (TlsMode::VerifyFull, _) => true,
    };
    let (itself, system) = match &settings.ca_file {
        Some(file) => (certificates(file)?, Vec::new()),
        None => (Vec::new(), rustls_native_certs::load_native_certs().certs),
    };
    let mut roots = RootCertStore::empty();
    // One of many that cannot be read is as good as absent: whoever needs it is not trusted.
    roots.add_parsable_certificates(itself.iter().cloned().chain(system));
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| untrusted(&error))?;
    Ok(Trust::Authorities { chain, itself, is_name_checked })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let named = |why: &dyn std::fmt::Display| untrusted(&format!("{}: {why}", file.display()));
    match read {
        Ok(certificates) if certificates.is_empty() => Err(named(&"no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(named(&error)),
    }
}

fn untrusted(why: &dyn std::fmt::Display) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Denied,
        detail: format!("authorities of the database's certificate: {why}"),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Authorities { chain, itself, is_name_checked } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if itself.iter().any(|trusted| trusted == end_entity) {
            if *is_name_checked {
                let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is judged last: the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !is_name_checked => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    use std::process::Command;

    use fortifun_fixtures::{Database, Durability, Postgres};

    use super::super::{connection, tests};
    use super::*;
    use crate::store::Lane;

    /// Makes in `folder` an authority, another one, and a server's key and certificate by the first, for `localhost`.
    fn certificates_in(folder: &Path) {
        let openssl = |line: &str| {
            let made = Command::new("openssl").current_dir(folder).args(line.split(' ')).output();
            let made = made.unwrap();
            assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for name in ["ours", "other"] {
            openssl(&format!(
                "req -x509 {key} -keyout {name}.key -out {name}.crt -subj /CN={name}"
            ));
        }
        openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
        fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
        openssl(
            "x509 -req -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial \
             -extfile names -out server.crt",
        );
    }

    /// Has the server encrypt, with the key and certificate in `folder`.
    fn encrypt(server: &Postgres, folder: &Path) {
        let owner = fs::metadata(server.data()).unwrap();
        for name in ["server.key", "server.crt"] {
            let file = server.data().join(name);
            fs::copy(folder.join(name), &file).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let mut admin = server.admin();
        admin.batch_execute("ALTER SYSTEM SET ssl = on").unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").unwrap();
        // A backend that began before the reload speaks as before.
        while admin.query_one("SHOW ssl", &[]).unwrap().get::<_, &str>(0) != "on" {}
    }

    /// Whether a connection to `host` is encrypted; why there is none.
    fn encrypted(
        database: &Database,
        host: &str,
        tls: TlsMode,
        ca_file: Option<&Path>,
    ) -> Result<bool, String> {
        let url = database.url().replace("127.0.0.1", host);
        let ca_file = ca_file.map(Path::to_path_buf);
        let settings = PostgresSettings { tls, ca_file, ..tests::settings(&url) };
        let mut session = connection::open(&settings, Lane::Read).map_err(|error| {
            assert!([StoreErrorKind::Unavailable, StoreErrorKind::Denied].contains(&error.kind));
            error.detail
        })?;
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        Ok(session.one(sql, &[], |row| row.get(0)).unwrap())
    }

    #[test]
    fn who_is_trusted_is_what_sslmode_says() {
        use TlsMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
        let folder = tempfile::tempdir().unwrap();
        certificates_in(folder.path());
        let file = |name: &str| folder.path().join(name);
        let (ours, other, own) = (file("ours.crt"), file("other.crt"), file("server.crt"));
        let (ours, other, own) = (Some(&*ours), Some(&*other), Some(&*own));
        let server = Postgres::start(Durability::Relaxed);
        let database = server.database();
        let (ip, name) = ("127.0.0.1", "localhost");
        for (mode, expect) in [(Disable, Some(false)), (Prefer, Some(false)), (Require, None)] {
            assert_eq!(encrypted(&database, ip, mode, None).ok(), expect, "{mode:?} in clear");
        }
        encrypt(&server, folder.path());
        for (host, mode, ca_file, expect) in [
            (ip, Disable, None, Some(false)),
            (ip, Prefer, None, Some(true)),
            (ip, Prefer, other, Some(true)),
            (ip, Require, None, Some(true)),
            (ip, Require, ours, Some(true)),
            (ip, Require, other, None),
            (ip, VerifyCa, None, None),
            (ip, VerifyCa, ours, Some(true)),
            (ip, VerifyCa, own, Some(true)),
            (ip, VerifyCa, other, None),
            (name, VerifyFull, None, None),
            (name, VerifyFull, ours, Some(true)),
            (name, VerifyFull, own, Some(true)),
            (name, VerifyFull, other, None),
            (ip, VerifyFull, ours, None),
            (ip, VerifyFull, own, None),
        ] {
            let found = encrypted(&database, host, mode, ca_file);
            assert_eq!(found.clone().ok(), expect, "{host} {mode:?} {ca_file:?}: {found:?}");
        }
        let why = encrypted(&database, ip, VerifyCa, Some(&file("absent.crt"))).unwrap_err();
        assert!(why.contains("absent.crt"), "{why}");
        let why = encrypted(&database, ip, VerifyCa, Some(&file("names"))).unwrap_err();
        assert!(why.contains("no certificate in it"), "{why}");
    }
}
