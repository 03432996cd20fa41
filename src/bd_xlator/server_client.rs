use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bd_image::{Server, ServerError};
use bd_model::{BrickId, Bytes, Gfid, ImageKind};
use bd_proto::{BrickInfo, CallError, Client, FaultKind, Opened, Reply, Request};
use blockdev::{Geometry, Span};
use uuid::Uuid;

use crate::removal_intent;

/// A brick's way to ask gluster-bdd: connections as needed, attached again by itself after the
/// daemon was restarted.
#[derive(Debug)]
pub(crate) struct ServerClient {
    socket: PathBuf,
    dir: PathBuf,
    volume: Uuid,
    /// Whether heal brings back what the brick has lost.
    heals: bool,
    brick: BrickInfo,
    idle: Mutex<Vec<Client>>,
    /// What gluster-bdd has to be told once it is back, in order. Held while it is told.
    unsettled: Mutex<VecDeque<Request>>,
}

impl ServerClient {
    /// Attaches the brick whose directory is `dir`; gluster-bdd repairs what a crash left.
    pub(crate) fn attach(
        socket: &Path,
        dir: &Path,
        volume: Uuid,
        heals: bool,
    ) -> Result<ServerClient, ServerError> {
        let mut client = Client::connect(socket, "brick")?;
        let brick = attach(&mut client, dir, volume, true, heals)?;
        Ok(ServerClient {
            socket: socket.to_owned(),
            dir: dir.to_owned(),
            volume,
            heals,
            brick,
            idle: Mutex::new(vec![client]),
            unsettled: Mutex::default(),
        })
    }

    /// What the brick is.
    pub(crate) fn brick(&self) -> &BrickInfo {
        &self.brick
    }

    /// The brick's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether heal brings back what the brick has lost: other bricks have the same files.
    pub(crate) fn heals(&self) -> bool {
        self.heals
    }

    /// The brick's identity, for requests.
    pub(crate) fn id(&self) -> BrickId {
        self.brick.id
    }

    /// Asks for the allocated bytes of an image.
    pub(crate) fn allocated_request(&self, gfid: Gfid) -> Request {
        Request::Allocated {
            brick: self.id(),
            gfids: vec![gfid],
        }
    }

    /// Asks and waits. Every request may be asked twice: that happens when the connection
    /// turns out to be broken.
    pub(crate) fn ask(&self, request: &Request) -> Result<Reply, ServerError> {
        self.exchange(|client| client.call(request))
    }

    /// As [`ServerClient::ask`] for a request that does nothing but succeed.
    pub(crate) fn tell(&self, request: &Request) -> Result<(), ServerError> {
        match self.ask(request)? {
            Reply::Fault(_) | Reply::Hello(_) => {
                Err(CallError::OutOfTurn("a greeting".to_owned()).into())
            }
            _ => Ok(()),
        }
    }

    /// As [`ServerClient::ask`] for a request that is answered with a descriptor.
    pub(crate) fn ask_for_fd(&self, request: &Request) -> Result<(Reply, OwnedFd), ServerError> {
        self.exchange(|client| client.call_for_fd(request))
    }

    /// As [`ServerClient::ask`] for the making of `gfid`: if the outcome stays unknown, what was made
    /// is undone as soon as gluster-bdd can be reached again.
    pub(crate) fn make(&self, gfid: Gfid, request: &Request) -> Result<Reply, ServerError> {
        let mut cut_off = false;
        let result = self.exchange(|client| {
            let answer = client.call(request);
            cut_off |= matches!(answer, Err(CallError::Lost(_)));
            answer
        });
        if cut_off && result.is_err() {
            let brick = self.id();
            lock(&self.unsettled).push_back(Request::Abort { brick, gfid });
        }
        result
    }

    /// As [`ServerClient::tell`] for a request that ends an operation: if gluster-bdd cannot be told now,
    /// it is as soon as it can be reached again.
    pub(crate) fn tell_in_the_end(&self, request: Request) -> Result<(), ServerError> {
        let result = self.tell(&request);
        if result.as_ref().is_err_and(ServerError::is_unheard) {
            lock(&self.unsettled).push_back(request);
        }
        result
    }

    /// Tells that the last name of an image is about to go; notes it where no gluster-bdd runs: a name goes
    /// without LVM, and DHT cannot undo what it has begun. If the outcome stays unknown, the removal is
    /// cancelled as soon as gluster-bdd can be reached again.
    pub(crate) fn mark_for_removal(&self, gfid: Gfid) -> Result<(), ServerError> {
        self.mark_or_note(gfid, || removal_intent::note(&self.dir, gfid))
    }

    fn mark_or_note(
        &self,
        gfid: Gfid,
        note: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), ServerError> {
        let brick = self.id();
        let cancel = Request::Spare { brick, gfid };
        // One that an earlier try has left must not come after this request.
        lock(&self.unsettled).retain(|request| *request != cancel);
        let request = Request::Condemn { brick, gfid };
        let mut result = self.tell(&request);
        let is_noted = result.as_ref().is_err_and(ServerError::is_away) && note().is_ok();
        if is_noted {
            // One that has come meanwhile has read the intents, perhaps without this one. It would take the
            // image for one that lost its name by itself, and show it again.
            result = self.tell(&request);
            if result.as_ref().is_err_and(ServerError::is_away) {
                return Ok(());
            }
        }
        if result
            .as_ref()
            .is_err_and(|error| is_noted || error.is_unheard())
        {
            lock(&self.unsettled).push_back(cancel);
        }
        result
    }

    /// Tells what is left to be told, if anything is.
    pub(crate) fn settle(&self) -> Result<(), ServerError> {
        if !lock(&self.unsettled).is_empty() {
            let client = self.connect()?;
            lock(&self.idle).push(client);
        }
        Ok(())
    }

    fn exchange<T>(
        &self,
        mut call: impl FnMut(&mut Client) -> Result<T, CallError>,
    ) -> Result<T, ServerError> {
        let pooled = lock(&self.idle).pop();
        let first = match pooled {
            Some(client) => self.try_on(client, &mut call),
            None => self.try_on(self.connect()?, &mut call),
        };
        match first {
            Err(error) if error.outcome_unknown() => {
                // All pooled connections went to the same daemon and are as dead as this one.
                lock(&self.idle).clear();
                self.try_on(self.connect()?, &mut call)
            }
            Err(error) if error.is(FaultKind::NotAttached) => {
                self.try_on(self.connect()?, &mut call)
            }
            result => result,
        }
    }

    fn try_on<T>(
        &self,
        mut client: Client,
        call: &mut impl FnMut(&mut Client) -> Result<T, CallError>,
    ) -> Result<T, ServerError> {
        let answer = call(&mut client).map_err(ServerError::from);
        let is_broken = match &answer {
            Ok(_) | Err(ServerError::Call(CallError::Fault(_))) => false,
            Err(_) => true,
        };
        let is_detached = answer
            .as_ref()
            .is_err_and(|error| error.is(FaultKind::NotAttached));
        if !is_broken && !is_detached {
            lock(&self.idle).push(client);
        }
        answer
    }

    /// A new connection, with the brick attached and nothing left unsettled.
    fn connect(&self) -> Result<Client, ServerError> {
        let mut client = Client::connect(&self.socket, "brick")?;
        attach(&mut client, &self.dir, self.volume, false, self.heals)?;
        let mut unsettled = lock(&self.unsettled);
        while let Some(request) = unsettled.front() {
            match client.call(request) {
                // Refused: the daemon never came so far, or has settled it already.
                Ok(_) | Err(CallError::Fault(_)) => unsettled.pop_front(),
                Err(error) => return Err(error.into()),
            };
        }
        drop(unsettled);
        Ok(client)
    }
}

impl Server for ServerClient {
    fn extent_size(&self) -> Bytes {
        self.brick.extent_size
    }

    fn open(&self, gfid: Gfid) -> Result<(OwnedFd, Geometry), ServerError> {
        let brick = self.id();
        match self.ask_for_fd(&Request::Open { brick, gfid })? {
            (Reply::Opened(opened), fd) => Ok((fd, geometry(&opened))),
            (other, _) => Err(out_of_turn(&other)),
        }
    }

    fn resize(&self, gfid: Gfid, size: Bytes) -> Result<Bytes, ServerError> {
        let brick = self.id();
        match self.ask(&Request::Resize { brick, gfid, size })? {
            Reply::Image(info) => Ok(info.lv_size),
            other => Err(out_of_turn(&other)),
        }
    }

    fn sync(&self, gfid: Gfid) -> Result<(), ServerError> {
        let brick = self.id();
        self.tell(&Request::Sync { brick, gfid })
    }

    fn allocated(&self, gfid: Gfid) -> Result<Option<Bytes>, ServerError> {
        match self.ask(&self.allocated_request(gfid))? {
            Reply::Allocated(told) => Ok(told.first().copied().flatten()),
            other => Err(out_of_turn(&other)),
        }
    }

    fn mapped(&self, gfid: Gfid) -> Result<Option<Vec<Span>>, ServerError> {
        let brick = self.id();
        let Reply::Mapped(spans) = self.ask(&Request::Mapped { brick, gfid })? else {
            return Ok(None);
        };
        let span = |(start, end): (Bytes, Bytes)| Span {
            start: start.0,
            end: end.0,
        };
        Ok(spans.map(|spans| spans.into_iter().map(span).collect()))
    }
}

fn out_of_turn(reply: &Reply) -> ServerError {
    CallError::OutOfTurn(format!("{reply:?}")).into()
}

fn geometry(opened: &Opened) -> Geometry {
    let zeroing_discard = match opened.image.kind {
        // A thin chunk that was discarded whole is unmapped and reads as zeros.
        ImageKind::Thin => opened.discard_granularity,
        ImageKind::Thick => 0,
    };
    Geometry {
        block_size: opened.block_size,
        zeroing_discard,
    }
}

fn attach(
    client: &mut Client,
    dir: &Path,
    volume: Uuid,
    fresh: bool,
    heals: bool,
) -> Result<BrickInfo, ServerError> {
    let request = Request::AttachBrick {
        dir: dir.to_owned(),
        volume,
        fresh,
        heals,
    };
    match client.call(&request)? {
        Reply::Brick(info) => Ok(info),
        other => Err(CallError::OutOfTurn(format!("{other:?}")).into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use bd_model::{Bytes, ImageKind};
    use bd_proto::{EngineSpec, frame};
    use crossbeam_channel::{Sender, unbounded};

    use super::*;

    fn serve(mut stream: UnixStream, brick: &BrickInfo, heard: &Sender<Request>) {
        let mut header = [0; frame::HEADER];
        while stream.read_exact(&mut header).is_ok() {
            let mut body = vec![0; frame::body_len(header, frame::MAX).unwrap()];
            stream.read_exact(&mut body).unwrap();
            let request: Request = frame::decode(&body).unwrap();
            let reply = match &request {
                Request::Hello { version, .. } => Reply::Hello(*version),
                Request::AttachBrick { .. } => Reply::Brick(brick.clone()),
                _ => Reply::Done,
            };
            heard.send(request).unwrap();
            stream.write_all(&frame::encode(&reply).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_server_that_comes_while_an_intent_is_written_hears_of_it() {
        let dir = std::env::temp_dir().join(format!("gluster-bd-{}", Gfid::random()));
        std::fs::create_dir(&dir).unwrap();
        let brick = BrickInfo {
            id: BrickId::random(),
            engine: EngineSpec::File { store: dir.clone() },
            top: "top".to_owned(),
            kind: ImageKind::Thin,
            extent_size: Bytes(4096),
            adopt: true,
            volume: None,
        };
        let server = ServerClient {
            socket: dir.join("sock"),
            dir: dir.clone(),
            volume: Uuid::nil(),
            heals: false,
            brick: brick.clone(),
            idle: Mutex::default(),
            unsettled: Mutex::default(),
        };
        let (gfid, (heard, requests)) = (Gfid::random(), unbounded());
        let come = || {
            let listener = UnixListener::bind(dir.join("sock"))?;
            let brick = brick.clone();
            std::thread::spawn(move || serve(listener.accept().unwrap().0, &brick, &heard));
            Ok(())
        };
        server.mark_or_note(gfid, come).unwrap();
        drop(server);
        // One that nobody has called ends by this.
        drop(UnixStream::connect(dir.join("sock")));
        let told = Request::Condemn {
            brick: brick.id,
            gfid,
        };
        assert_eq!(requests.iter().last(), Some(told));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
