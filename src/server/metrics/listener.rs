use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Commands, Token};
use crate::service::Service;

/// How many clients are served at once; others wait.
const CLIENTS: usize = 8;
/// How long one connection may take, whatever it does.
const LIFE: Duration = Duration::from_secs(20);
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request that are looked at.
const REQUEST: usize = 16 << 10;
/// How long accepting rests when the process has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// Others than this host could connect.
    #[error(
        "cannot serve metrics on {0}: what is sent is not encrypted, so only a loopback address is \
         taken; let a web server with TLS pass requests on to it"
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

/// Serves metrics over HTTP to clients that know the token.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    pages: Arc<Pages>,
}

#[derive(Debug)]
struct Pages {
    token: Token,
    service: Arc<Service>,
    commands: Commands,
}

impl Listener {
    /// Listens on a loopback address.
    pub async fn open(
        address: SocketAddr,
        token: Token,
        service: Arc<Service>,
        commands: Commands,
    ) -> Result<Listener, ListenerError> {
        if !address.ip().is_loopback() {
            return Err(ListenerError::Public(address));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ListenerError::Listen { address, source })?;
        Ok(Listener {
            listener,
            pages: Arc::new(Pages {
                token,
                service,
                commands,
            }),
        })
    }

    /// The address, with the port that was chosen for port 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
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
                    tokio::spawn(async move {
                        converse(stream, pages).await;
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

async fn converse(stream: TcpStream, pages: Arc<Pages>) {
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
    let mut response = if !known {
        let mut response = plain(StatusCode::UNAUTHORIZED, "a token is wanted\n");
        let scheme = hyper::header::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        response
    } else if request.uri().path() != "/metrics" {
        plain(StatusCode::NOT_FOUND, "there is only /metrics\n")
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        response
    } else {
        let made =
            tokio::task::spawn_blocking(move || super::text(&pages.service, &pages.commands));
        match made.await {
            Ok(text) => {
                let mut response = Response::new(Full::from(text));
                let kind = hyper::header::HeaderValue::from_static(super::TYPE);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(panic) => {
                tracing::error!("cannot make the metrics: {panic}");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
            }
        }
    };
    if *request.method() == Method::HEAD {
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
