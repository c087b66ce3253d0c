//! Whom we trust to be a Redis: the system's authorities, or those of a file.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::fault::Fault;

/// Where the authorities are. They are read at every connection, so that a renewed file is seen.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Trust {
    /// PEM; the system's where there is none.
    pub(super) ca_file: Option<PathBuf>,
}

impl Trust {
    /// A client that wants a certificate by one of them, for the host's name.
    ///
    /// # Errors
    /// There is no authority to trust; it names the file.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, Fault> {
        let mut roots = RootCertStore::empty();
        // One of many that cannot be read is as good as absent: whoever needs it is not trusted.
        roots.add_parsable_certificates(self.certificates()?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let Some(file) = &self.ca_file else {
            return Ok(rustls_native_certs::load_native_certs().certs);
        };
        let named = |why: &dyn Display| Fault::Tls(format!("{}: {why}", file.display()));
        let read =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match read {
            Ok(certificates) if certificates.is_empty() => Err(named(&"no certificate in it")),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(named(&error)),
        }
    }
}
