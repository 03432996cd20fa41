use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Certificate, Commands, Token};
use crate::service::Service;

/// How many clients are served at once; others wait. Those that say nothing count as well.
const CLIENTS: usize = 64;
/// How long one connection may take, whatever it does.
const LIFE: Duration = Duration::from_secs(20);
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request that are looked at.
const REQUEST: usize = 16 << 10;
/// How long accepting rests when the process has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What each answer tells a browser: to run and show nothing but our own files, to send nothing
/// anywhere else, to be shown in no other page, and to keep nothing.
const CONFINED: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// Others than this host could connect.
    #[error(
        "cannot serve metrics on {0}: what is sent is not encrypted, so only a loopback address is \
         taken; give --metrics-cert and --metrics-key, or let a web server with TLS pass requests on"
    )]
    Public(SocketAddr),
    /// The address cannot be used.
    #[error("cannot serve metrics on {address}: {source}; choose another --metrics")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Where metrics and the status page are served, and how.
#[derive(Clone, Debug)]
pub struct Served {
    /// Where.
    pub address: SocketAddr,
    /// To whom.
    pub token: Token,
    /// With TLS, if there is one.
    pub certificate: Option<Certificate>,
}

/// Serves metrics and the status page over HTTP, with TLS or without, to clients that know the token.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    certificate: Option<Certificate>,
    pages: Arc<Pages>,
}

#[derive(Debug)]
struct Pages {
    token: Token,
    service: Arc<Service>,
    commands: Commands,
}

impl Listener {
    /// Listens; without a certificate on loopback addresses alone.
    pub async fn open(
        served: Served,
        service: Arc<Service>,
        commands: Commands,
    ) -> Result<Listener, ListenerError> {
        let Served {
            address,
            token,
            certificate,
        } = served;
        if certificate.is_none() && !address.ip().is_loopback() {
            return Err(ListenerError::Public(address));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ListenerError::Listen { address, source })?;
        Ok(Listener {
            listener,
            certificate,
            pages: Arc::new(Pages {
                token,
                service,
                commands,
            }),
        })
    }

    /// Where a client finds it, with the port that was chosen for port 0.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        Ok(format!("{scheme}://{}", self.listener.local_addr()?))
    }

    /// Serves clients until it is dropped.
    pub async fn serve(self) {
        let room = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let pages = Arc::clone(&self.pages);
                    let acceptor = self.certificate.as_ref().map(Certificate::acceptor);
                    tokio::spawn(async move {
                        match acceptor {
                            None => converse(stream, pages).await,
                            Some(acceptor) => greet(stream, &acceptor, pages).await,
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a client of the metrics: {error}");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

/// Serves a client that speaks TLS.
async fn greet(stream: TcpStream, acceptor: &TlsAcceptor, pages: Arc<Pages>) {
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, pages).await,
        Ok(Err(error)) => tracing::debug!("a client of the metrics: {error}"),
        Err(_) => tracing::debug!("a client of the metrics was too slow"),
    }
}

async fn converse<S>(stream: S, pages: Arc<Pages>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(Arc::clone(&pages), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(REQUEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIFE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a client of the metrics: {error}"),
        Err(_) => tracing::debug!("a client of the metrics was too slow"),
    }
}

async fn answer(
    pages: Arc<Pages>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let known = request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| pages.token.is_in(value.as_bytes()));
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = match request.uri().path() {
        _ if !known => {
            let mut response = plain(StatusCode::UNAUTHORIZED, "a token is wanted\n");
            // A browser asks its user for a name, which may be any, and a password: the token.
            for scheme in ["Basic realm=\"gluster-bdd\", charset=\"UTF-8\"", "Bearer"] {
                let scheme = HeaderValue::from_static(scheme);
                response.headers_mut().append(WWW_AUTHENTICATE, scheme);
            }
            response
        }
        path @ ("/" | "/page.css" | "/page.js" | "/status.json" | "/metrics") if !read => {
            tracing::debug!("{} of {path}", request.method());
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            response
        }
        "/" => typed(
            "text/html; charset=utf-8",
            include_str!("../page/index.html"),
        ),
        "/page.css" => typed("text/css; charset=utf-8", include_str!("../page/page.css")),
        "/page.js" => typed(
            "text/javascript; charset=utf-8",
            include_str!("../page/page.js"),
        ),
        "/status.json" => {
            made("application/json", move || {
                crate::status::json(&pages.service)
            })
            .await
        }
        "/metrics" => {
            made(super::TYPE, move || {
                Ok::<_, Infallible>(super::text(&pages.service, &pages.commands))
            })
            .await
        }
        _ => plain(StatusCode::NOT_FOUND, "there are / and /metrics\n"),
    };
    for (name, value) in CONFINED {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    if *request.method() == Method::HEAD {
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

/// An answer that is made on a thread of its own: it may wait for locks.
async fn made<E: std::fmt::Display + Send + 'static>(
    kind: &'static str,
    make: impl FnOnce() -> Result<String, E> + Send + 'static,
) -> Response<Full<Bytes>> {
    let failure: String = match tokio::task::spawn_blocking(make).await {
        Ok(Ok(text)) => return typed(kind, text),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.to_string(),
    };
    tracing::error!("cannot make what a client asks for: {failure}");
    plain(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
}

fn typed(kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.into()));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = typed("text/plain; charset=utf-8", text);
    *response.status_mut() = status;
    response
}
