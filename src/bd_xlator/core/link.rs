use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bd_model::{BrickId, Gfid};
use bd_proto::{BrickInfo, CallError, Client, ConnectError, FaultKind, Reply, Request};
use uuid::Uuid;

use super::condemned;
use super::errno::{self, Errno};

/// Why gluster-bdd could not do what the brick asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It refused or broke off.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The image is being merged, or what became of that is not known yet.
    #[error("the image is being merged; try again when gluster-bdd runs")]
    Barred,
    /// The image's last name is gone, and its LV goes.
    #[error("the image is removed")]
    Gone,
}

impl LinkError {
    /// The errno for the client's fop.
    pub(crate) fn errno(&self) -> Errno {
        match self {
            LinkError::Connect(error) => errno::of_connect(error),
            LinkError::Call(error) => errno::of_call(error),
            LinkError::Barred => libc::EBUSY,
            // As posix says it of a file that another client has removed.
            LinkError::Gone => libc::ESTALE,
        }
    }

    /// Whether gluster-bdd is not there, or has gone away meanwhile.
    pub(crate) fn is_absence(&self) -> bool {
        let (LinkError::Connect(ConnectError::Greeting { source, .. }) | LinkError::Call(source)) =
            self
        else {
            return matches!(self, LinkError::Connect(_));
        };
        matches!(source, CallError::Lost(_))
    }

    fn is(&self, kind: FaultKind) -> bool {
        matches!(self, LinkError::Call(CallError::Fault(fault)) if fault.kind == kind)
    }

    /// Whether the object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.is(FaultKind::NotFound)
    }

    /// Whether there is no room, and less might do.
    pub(crate) fn is_too_much(&self) -> bool {
        self.is(FaultKind::NoSpace) || self.is(FaultKind::TooLarge)
    }

    /// Whether gluster-bdd may not have heard of the request.
    fn is_unheard(&self) -> bool {
        !matches!(
            self,
            LinkError::Call(CallError::Fault(_)) | LinkError::Barred | LinkError::Gone
        )
    }

    /// Whether nobody listens: no gluster-bdd runs.
    fn is_away(&self) -> bool {
        let LinkError::Connect(ConnectError::Unreachable { source, .. }) = self else {
            return false;
        };
        matches!(
            source.kind(),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused
        )
    }

    fn outcome_unknown(&self) -> bool {
        matches!(self, LinkError::Call(CallError::Lost(_)))
    }
}

/// A brick's link to gluster-bdd: connections as needed, attached again by itself after the
/// daemon was restarted.
#[derive(Debug)]
pub(crate) struct Link {
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

impl Link {
    /// Attaches the brick whose directory is `dir`; gluster-bdd repairs what a crash left.
    pub(crate) fn attach(
        socket: &Path,
        dir: &Path,
        volume: Uuid,
        heals: bool,
    ) -> Result<Link, LinkError> {
        let mut client = Client::connect(socket, "brick")?;
        let brick = attach(&mut client, dir, volume, true, heals)?;
        Ok(Link {
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

    /// Asks and waits. Every request may be asked twice: that happens when the connection
    /// turns out to be broken.
    pub(crate) fn ask(&self, request: &Request) -> Result<Reply, LinkError> {
        self.exchange(|client| client.call(request))
    }

    /// As [`Link::ask`] for a request that does nothing but succeed.
    pub(crate) fn tell(&self, request: &Request) -> Result<(), LinkError> {
        match self.ask(request)? {
            Reply::Fault(_) | Reply::Hello(_) => {
                Err(CallError::OutOfTurn("a greeting".to_owned()).into())
            }
            _ => Ok(()),
        }
    }

    /// As [`Link::ask`] for a request that is answered with a descriptor.
    pub(crate) fn ask_for_fd(&self, request: &Request) -> Result<(Reply, OwnedFd), LinkError> {
        self.exchange(|client| client.call_for_fd(request))
    }

    /// As [`Link::ask`] for the making of `gfid`: if the outcome stays unknown, what was made
    /// is undone as soon as gluster-bdd can be reached again.
    pub(crate) fn make(&self, gfid: Gfid, request: &Request) -> Result<Reply, LinkError> {
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

    /// As [`Link::tell`] for a request that ends an operation: if gluster-bdd cannot be told now,
    /// it is as soon as it can be reached again.
    pub(crate) fn tell_in_the_end(&self, request: Request) -> Result<(), LinkError> {
        let result = self.tell(&request);
        if result.as_ref().is_err_and(LinkError::is_unheard) {
            lock(&self.unsettled).push_back(request);
        }
        result
    }

    /// Tells that the last name of an image is about to go; notes it where no gluster-bdd runs: a name goes
    /// without LVM, and DHT cannot undo what it has begun. If the outcome stays unknown, the image is spared
    /// as soon as gluster-bdd can be reached again.
    pub(crate) fn condemn(&self, gfid: Gfid) -> Result<(), LinkError> {
        self.condemn_or_note(gfid, || condemned::note(&self.dir, gfid))
    }

    fn condemn_or_note(
        &self,
        gfid: Gfid,
        note: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), LinkError> {
        let brick = self.id();
        let spare = Request::Spare { brick, gfid };
        // One that an earlier try has left must not come after this request.
        lock(&self.unsettled).retain(|request| *request != spare);
        let request = Request::Condemn { brick, gfid };
        let mut result = self.tell(&request);
        let is_noted = result.as_ref().is_err_and(LinkError::is_away) && note().is_ok();
        if is_noted {
            // One that has come meanwhile has read the intents, perhaps without this one. It would take the
            // image for one that lost its name by itself, and show it again.
            result = self.tell(&request);
            if result.as_ref().is_err_and(LinkError::is_away) {
                return Ok(());
            }
        }
        if result
            .as_ref()
            .is_err_and(|error| is_noted || error.is_unheard())
        {
            lock(&self.unsettled).push_back(spare);
        }
        result
    }

    /// Tells what is left to be told, if anything is.
    pub(crate) fn settle(&self) -> Result<(), LinkError> {
        if !lock(&self.unsettled).is_empty() {
            let client = self.connect()?;
            lock(&self.idle).push(client);
        }
        Ok(())
    }

    fn exchange<T>(
        &self,
        mut call: impl FnMut(&mut Client) -> Result<T, CallError>,
    ) -> Result<T, LinkError> {
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
    ) -> Result<T, LinkError> {
        let answer = call(&mut client).map_err(LinkError::from);
        let is_broken = match &answer {
            Ok(_) | Err(LinkError::Call(CallError::Fault(_))) => false,
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
    fn connect(&self) -> Result<Client, LinkError> {
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

fn attach(
    client: &mut Client,
    dir: &Path,
    volume: Uuid,
    fresh: bool,
    heals: bool,
) -> Result<BrickInfo, LinkError> {
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
        let link = Link {
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
        link.condemn_or_note(gfid, come).unwrap();
        drop(link);
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
