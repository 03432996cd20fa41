use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// What a server shows its clients to be the one they mean, and its key: TLS 1.2 and 1.3.
///
/// Copies are one: what [`Certificate::reload`] reads holds for all of them.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    chain: PathBuf,
    key: PathBuf,
    config: Mutex<Arc<ServerConfig>>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    Read {
        /// `the certificate` or `the key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} does not hold {what} in PEM: {why}", path.display())]
    Content {
        /// `a certificate` or `a private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Everybody can read the key.
    #[error("everybody can read the key {}; run: chmod o= {}", .0.display(), .0.display())]
    Open(PathBuf),
    /// They do not go together, or TLS cannot use them.
    #[error("cannot serve TLS with {} and {}: {why}", chain.display(), key.display())]
    Pair {
        /// The certificate.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong with them.
        why: String,
    },
    /// The cryptography wants instructions that the processor lacks.
    #[error(
        "cannot serve TLS: this processor has no {0}; let a web server with TLS pass requests on"
    )]
    Processor(&'static str),
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("chain", &self.0.chain)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads a certificate, with those that vouch for it behind it, and its key: PEM files.
    pub fn read(chain: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        Ok(Certificate(Arc::new(Inner {
            config: Mutex::new(config(chain, key)?),
            chain: chain.to_owned(),
            key: key.to_owned(),
        })))
    }

    /// Reads the files again, for connections from now on; after an error all is as it was.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let config = config(&self.0.chain, &self.0.key)?;
        *self.0.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// The file of the certificate.
    pub fn path(&self) -> &Path {
        &self.0.chain
    }

    /// What takes a connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = self.0.config.lock().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}

fn config(chain_path: &Path, key_path: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    if let Some(lacks) = missing_instructions() {
        return Err(CertificateError::Processor(lacks));
    }
    let unusable = |what: &'static str, path: &Path, error: pem::Error| match error {
        pem::Error::Io(source) => CertificateError::Read {
            what: if what == KEY {
                "the key"
            } else {
                "the certificate"
            },
            path: path.to_owned(),
            source,
        },
        error => CertificateError::Content {
            what,
            path: path.to_owned(),
            why: error.to_string(),
        },
    };
    let chain = CertificateDer::pem_file_iter(chain_path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| match chain.is_empty() {
            true => Err(pem::Error::NoItemsFound),
            false => Ok(chain),
        })
        .map_err(|error| unusable(CERTIFICATE, chain_path, error))?;
    let key =
        PrivateKeyDer::from_pem_file(key_path).map_err(|error| unusable(KEY, key_path, error))?;
    let mode = std::fs::metadata(key_path).map_err(|source| CertificateError::Read {
        what: "the key",
        path: key_path.to_owned(),
        source,
    })?;
    if mode.permissions().mode() & 0o007 != 0 {
        return Err(CertificateError::Open(key_path.to_owned()));
    }
    let provider = Arc::new(rustls_graviola::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, key))
        .map_err(|error| CertificateError::Pair {
            chain: chain_path.to_owned(),
            key: key_path.to_owned(),
            why: reason(&error),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

const CERTIFICATE: &str = "a certificate";
const KEY: &str = "a private key";

fn reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        // The library knows RSA and the curves P-256 and P-384.
        rustls::Error::General(why) => {
            format!("the key is neither RSA nor ECDSA with P-256 or P-384 ({why})")
        }
        error => error.to_string(),
    }
}

/// What graviola wants of a processor (its README, "Limitations"); it panics without that.
#[cfg(target_arch = "x86_64")]
fn missing_instructions() -> Option<&'static str> {
    let there = [
        ("AES", std::is_x86_feature_detected!("aes")),
        ("PCLMULQDQ", std::is_x86_feature_detected!("pclmulqdq")),
        ("SSSE3", std::is_x86_feature_detected!("ssse3")),
        ("AVX", std::is_x86_feature_detected!("avx")),
        ("AVX2", std::is_x86_feature_detected!("avx2")),
        ("BMI1", std::is_x86_feature_detected!("bmi1")),
        ("BMI2", std::is_x86_feature_detected!("bmi2")),
        ("ADX", std::is_x86_feature_detected!("adx")),
    ];
    there.into_iter().find(|(_, is)| !is).map(|(name, _)| name)
}

/// What graviola wants of a processor: 64-bit ARM with its cryptography, or x86_64.
#[cfg(not(target_arch = "x86_64"))]
fn missing_instructions() -> Option<&'static str> {
    None
}
