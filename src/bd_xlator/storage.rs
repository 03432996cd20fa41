use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use glusterfs::{Dict, Event, Heard, InitError, Xlator, gf_error, gf_warn};

use crate::server_client::ServerClient;
use crate::setup::Setup;
use crate::{Brick, served};
use bd_image::ServerError;

/// How long a start waits to hear whether gluster-bdd takes the brick.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// How often gluster-bdd is asked again.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The translator `storage/bd`: a brick, from when gluster-bdd is there to say what it is.
///
/// Until then the process runs, so that glusterd has nothing to start again, and clients find the brick
/// down: `protocol/server` sends them away.
#[derive(Debug)]
pub struct Storage {
    xl: Xlator<Storage>,
    /// Held while the brick gets what has changed of it.
    setup: Mutex<Setup>,
    brick: OnceLock<Arc<Brick>>,
    /// Whether posix is ready. Held while that is told to the translators above.
    posix: Mutex<bool>,
    waiter: Mutex<Option<Waiter>>,
}

/// The thread that asks gluster-bdd to take the brick, until it has.
#[derive(Debug)]
struct Waiter {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// What gluster-bdd has said first.
#[derive(Debug)]
enum Word {
    /// The brick serves.
    Taken,
    /// There is nobody to ask.
    Absent,
    /// It must not.
    Refused(String),
}

impl Storage {
    /// Starts the brick, now or when gluster-bdd is there.
    ///
    /// # Errors
    /// The volfile makes no sense, or gluster-bdd refuses the brick.
    pub(crate) fn start(xl: Xlator<Storage>) -> Result<Arc<Storage>, InitError> {
        let setup = Setup::read(xl)?;
        served::begin(&setup.dir).map_err(|error| {
            let text = format!("cannot unseal brick {}: {error}", setup.dir.display());
            InitError(text)
        })?;
        let storage = Arc::new(Storage {
            xl,
            setup: Mutex::new(setup),
            brick: OnceLock::new(),
            posix: Mutex::new(false),
            waiter: Mutex::default(),
        });
        // Whoever hears of a refusal here has not begun to wait for another word.
        let (said, word) = bounded(0);
        let waiter = Waiter::start(&storage, said)
            .map_err(|error| InitError(format!("cannot start a thread: {error}")))?;
        *lock(&storage.waiter) = Some(waiter);
        match word.recv_timeout(FIRST_WORD) {
            Ok(Word::Taken | Word::Absent) => Ok(storage),
            Ok(Word::Refused(why)) => {
                storage.stop();
                Err(InitError(why))
            }
            Err(_) => {
                gf_error!(
                    "gluster-bdd is there and does not answer; the brick waits for gluster-bdd, and \
                     serves nobody until then"
                );
                Ok(storage)
            }
        }
    }

    /// The brick, once it serves.
    pub(crate) fn brick(&self) -> Option<&Arc<Brick>> {
        self.brick.get()
    }

    /// Takes the options that may change while the brick runs, or waits.
    pub(crate) fn change(&self, options: &Dict<'_>) -> Result<(), InitError> {
        let mut setup = lock(&self.setup);
        setup.change(options)?;
        if let Some(brick) = self.brick() {
            brick.change(&setup);
        }
        Ok(())
    }

    /// Hears of an event. Those above hear that posix is ready when the brick is.
    pub(crate) fn hear(&self, event: Event) -> Heard {
        match event {
            Event::ChildUp => {
                let mut posix = lock(&self.posix);
                *posix = true;
                if self.brick().is_some() {
                    return Heard::GoesOn;
                }
                self.send_clients_away();
                return Heard::Kept;
            }
            Event::ChildDown => *lock(&self.posix) = false,
            Event::ParentDown { detaches: true } => {
                self.stop_waiting();
                if let Some(brick) = self.brick() {
                    brick.finish();
                }
            }
            _ => {}
        }
        Heard::GoesOn
    }

    /// `protocol/server` refuses clients of a brick of which it has heard that it is down. It takes those
    /// of one of which it has heard nothing.
    fn send_clients_away(&self) {
        if let Some(below) = self.xl.find_below("protocol/server") {
            below.tell_above(true);
            below.tell_above(false);
        }
    }

    /// Ends the threads that work though nobody asks.
    pub(crate) fn stop(&self) {
        self.stop_waiting();
        if let Some(brick) = self.brick() {
            brick.stop();
        }
        served::end(&lock(&self.setup).dir);
    }

    fn stop_waiting(&self) {
        let waiter = lock(&self.waiter).take();
        if let Some(waiter) = waiter {
            drop(waiter.stop);
            let _ended = waiter.thread.join();
        }
    }

    /// Asks gluster-bdd to take the brick, which serves from then on.
    fn attach(&self) -> Result<(), (Option<ServerError>, String)> {
        let setup = lock(&self.setup).clone();
        let socket = bd_proto::socket_path();
        let server = ServerClient::attach(&socket, &setup.dir, setup.volume, setup.heals);
        let server = server.map_err(|error| {
            let text = format!("cannot attach brick {}: {error}", setup.dir.display());
            (Some(error), text)
        })?;
        let brick = Brick::start(self.xl, &setup, server).map_err(|error| (None, error.0))?;
        {
            let setup = lock(&self.setup);
            brick.change(&setup);
            let _first = self.brick.set(brick);
        }
        let is_ready = *lock(&self.posix);
        if is_ready {
            self.xl.tell_above(true);
        }
        Ok(())
    }
}

impl Waiter {
    /// Starts the thread. It keeps no brick alive.
    fn start(storage: &Arc<Storage>, said: Sender<Word>) -> std::io::Result<Waiter> {
        let (stop, stopped) = bounded(0);
        let (xl, storage) = (storage.xl, Arc::downgrade(storage));
        let thread = std::thread::Builder::new()
            .name("bd-waiter".to_owned())
            .spawn(move || xl.enter(|| wait(&storage, &stopped, &said)))?;
        Ok(Waiter { stop, thread })
    }
}

/// Asks until the brick is taken, refused by the first word, or gone.
fn wait(storage: &Weak<Storage>, stopped: &Receiver<()>, said: &Sender<Word>) {
    let mut logged = String::new();
    while let Some(storage) = Weak::upgrade(storage) {
        let (error, text) = match storage.attach() {
            Ok(()) => {
                let _heard = said.send(Word::Taken);
                return;
            }
            Err(error) => error,
        };
        drop(storage);
        let word = match error.is_some_and(|error| error.is_absence()) {
            true => Word::Absent,
            false => Word::Refused(text.clone()),
        };
        let is_refused = matches!(word, Word::Refused(_));
        // Nobody hears a second word.
        if said.send(word).is_ok() && is_refused {
            return;
        }
        if logged != text {
            gf_warn!("{text}; the brick waits for gluster-bdd, and serves nobody until then");
            logged = text;
        }
        if stopped.recv_timeout(ASK_EVERY) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
