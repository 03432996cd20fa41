use std::sync::Arc;
use std::time::Duration;

use bd_proto::{Fault, FaultKind, Reply, Request, VERSION, frame};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::service::{Answer, Caller, Service};
use crate::wire::{self, WireError};

/// How long a client may take to receive an answer; one that hangs must not hold up a stop.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// How long after the end of a brick's connection the brick is looked at: the first look after that is
/// [`Service::tidy`]'s.
const SEALED_AFTER: Duration = Duration::from_secs(1);

/// One client: its requests come one after another, each answered before the next is read.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    service: Arc<Service>,
    caller: Arc<Caller>,
    /// Who is calling, once it has said so.
    client: Option<String>,
}

/// Whether a connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Request,
    Close,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream, service: Arc<Service>) -> Connection {
        let caller = Arc::new(service.caller());
        Connection {
            stream,
            service,
            caller,
            client: None,
        }
    }

    /// Serves until the client leaves, or the server stops and no request is under way. Then a brick's
    /// process may have ended.
    pub(crate) async fn serve(mut self, stop: watch::Receiver<bool>) {
        self.answer_all(stop.clone()).await;
        if *stop.borrow() || !Service::is_brick(&self.caller) {
            return;
        }
        let service = Arc::clone(&self.service);
        drop(self);
        // The kernel closes a process's files one after the other.
        tokio::time::sleep(SEALED_AFTER).await;
        if let Err(panic) = tokio::task::spawn_blocking(move || service.seal()).await {
            tracing::error!("sealing of bricks failed: {panic}");
        }
    }

    async fn answer_all(&mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let most = match self.client {
                None => frame::MAX_GREETING,
                Some(_) => frame::MAX_REQUEST,
            };
            let received = tokio::select! {
                received = wire::receive(&mut self.stream, most) => received,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let next = match received {
                Ok(None) => return,
                Ok(Some(body)) => self.respond(&body).await,
                Err(WireError::Io(error)) => {
                    tracing::debug!("{}: {error}", self.name());
                    return;
                }
                // Where the next frame begins is not known any more.
                Err(WireError::Frame(error)) => {
                    let fault = Fault::new(FaultKind::Invalid, error.to_string());
                    self.send(Reply::Fault(fault).into()).await;
                    Next::Close
                }
            };
            if next == Next::Close {
                return;
            }
        }
    }

    async fn respond(&mut self, body: &[u8]) -> Next {
        let request = match frame::decode::<Request>(body) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!("{}: {error}", self.name());
                let fault = Fault::new(FaultKind::Invalid, error.to_string());
                return self.send(Reply::Fault(fault).into()).await;
            }
        };
        if self.client.is_none() {
            return self.greet(request).await;
        }
        tracing::debug!("{}: {request:?}", self.name());
        let (service, caller) = (Arc::clone(&self.service), Arc::clone(&self.caller));
        let mut answering = tokio::task::spawn_blocking(move || service.answer(&caller, request));
        let answered = tokio::select! {
            answered = &mut answering => answered,
            () = wire::closed(&self.stream) => {
                self.service.left(&self.caller);
                answering.await
            }
        };
        let answer = answered.unwrap_or_else(|panic| {
            tracing::error!("a request failed: {panic}");
            let message = "gluster-bdd failed in the middle of the request; see its log";
            Reply::Fault(Fault::new(FaultKind::Failed, message)).into()
        });
        match &answer.reply {
            // The client's user sees an errno; the figures are here.
            Reply::Fault(fault) if fault.kind == FaultKind::NoSpace => {
                tracing::warn!("{}: {fault}", self.name());
            }
            Reply::Fault(fault) => {
                tracing::debug!("{}: {:?}: {fault}", self.name(), fault.kind);
            }
            _ => {}
        }
        self.send(answer).await
    }

    /// The first request must be a greeting of our version.
    async fn greet(&mut self, request: Request) -> Next {
        let fault = match request {
            Request::Hello { version, client } if version == VERSION => {
                tracing::debug!("{client} connected");
                self.client = Some(client);
                return self.send(Reply::Hello(VERSION).into()).await;
            }
            Request::Hello { version, client } => Fault::new(
                FaultKind::Version,
                format!(
                    "{client} speaks version {version} and this gluster-bdd version {VERSION}; \
                     install the same release of both"
                ),
            ),
            _ => Fault::new(
                FaultKind::Invalid,
                "the first request on a connection must be hello",
            ),
        };
        tracing::warn!("{fault}");
        self.send(Reply::Fault(fault).into()).await;
        Next::Close
    }

    async fn send(&mut self, answer: Answer) -> Next {
        let sent = match frame::encode(&answer.reply) {
            Ok(frame) => {
                let sending = wire::send(&mut self.stream, &frame, answer.fd);
                tokio::time::timeout(TAKEN_WITHIN, sending)
                    .await
                    .unwrap_or_else(|elapsed| Err(elapsed.into()))
            }
            Err(error) => {
                tracing::error!("{}: cannot answer: {error}", self.name());
                return Next::Close;
            }
        };
        match sent {
            Ok(()) => Next::Request,
            Err(error) => {
                tracing::debug!("{} left before its answer: {error}", self.name());
                Next::Close
            }
        }
    }

    fn name(&self) -> &str {
        self.client.as_deref().unwrap_or("a client")
    }
}
