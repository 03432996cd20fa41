//! The running server: its socket, its lock, its signals.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bd_durable::{LockError, LockFile};
use bd_engine::thin_pool::Policies;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::evacuator::Evacuator;
use crate::log_file::LogFile;
use crate::metrics::{Certificate, Commands, Listener, ListenerError, Served};
use crate::pool_monitor::PoolMonitor;
use crate::service::{Service, StoreError};
use crate::zeroer::Zeroer;

/// How often what had to wait is tried again.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// How often what pools held is kept for the next start.
const KEEP_EVERY: Duration = Duration::from_secs(600);
/// How long accepting rests when the process has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Where the server listens and keeps its state.
#[derive(Clone, Debug)]
pub struct Options {
    /// The socket.
    pub socket: PathBuf,
    /// The state folder; one server at a time uses it.
    pub state: PathBuf,
    /// Where metrics are served, and to whom.
    pub metrics: Option<Served>,
}

/// What runs.
#[derive(Debug)]
pub struct Parts {
    /// Answers requests.
    pub service: Arc<Service>,
    /// Say what is done about pools.
    pub policies: Arc<Policies>,
    /// Measures LVM.
    pub commands: Commands,
    /// Where the log goes, if not to standard error.
    pub log: Option<LogFile>,
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A folder could not be made.
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another server uses the state folder.
    #[error("another gluster-bdd uses the state folder: {0}")]
    State(LockError),
    /// The jobs could not be read.
    #[error(transparent)]
    Jobs(#[from] StoreError),
    /// Another server listens on the socket.
    #[error("another server answers on {}; stop it first or choose another --socket", .0.display())]
    Live(PathBuf),
    /// The socket could not be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that looks after pools could not be started.
    #[error("cannot start to look after pools: {0}")]
    Monitor(io::Error),
    /// The thread that empties disks could not be started.
    #[error("cannot start to work on jobs: {0}")]
    Evacuator(io::Error),
    /// The thread that zeroes new blocks could not be started.
    #[error("cannot start to zero new blocks: {0}")]
    Zeroer(io::Error),
    /// Metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] ListenerError),
    /// Signals cannot be received.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

/// Serves until SIGTERM or SIGINT; then finishes the requests that are under way.
///
/// SIGHUP reads the policies and the certificate again, where a file with a mistake changes nothing,
/// and opens the log file again.
pub async fn run(options: Options, parts: Parts) -> Result<(), DaemonError> {
    let Parts {
        service,
        policies,
        commands,
        log,
    } = parts;
    make_folder(&options.state, 0o700)?;
    if let Some(parent) = options.socket.parent() {
        make_folder(parent, 0o755)?;
    }
    let lock = LockFile::acquire(&options.state.join("lock")).map_err(DaemonError::State)?;
    service.keep_jobs_in(&options.state.join("jobs"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(DaemonError::Signals)?;
    let listener = listen(&options.socket).await?;
    let history = options.state.join("history.json");
    if let Err(error) = service.histories().load(&history) {
        tracing::warn!(
            "cannot read {}: {error}; forecasts begin anew",
            history.display()
        );
    }
    let monitor = PoolMonitor::start(Arc::clone(&service)).map_err(DaemonError::Monitor)?;
    let evacuator = Evacuator::start(Arc::clone(&service)).map_err(DaemonError::Evacuator)?;
    let zeroer = Zeroer::start(Arc::clone(&service)).map_err(DaemonError::Zeroer)?;
    let mut certificate = None;
    let metrics = match options.metrics {
        None => None,
        Some(served) => {
            certificate.clone_from(&served.certificate);
            Some(Listener::open(served, Arc::clone(&service), commands).await?)
        }
    };
    announce(&options.socket, metrics.as_ref());
    let metrics = metrics.map(|listener| tokio::spawn(listener.serve()));

    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut tidy = tokio::time::interval(TIDY_EVERY);
    let start = tokio::time::Instant::now() + KEEP_EVERY;
    let mut keep = tokio::time::interval_at(start, KEEP_EVERY);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = Connection::new(stream, Arc::clone(&service));
                    tasks.spawn(connection.serve(stopped.clone()));
                }
                Err(error) => {
                    tracing::error!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
            _ = tidy.tick() => {
                let service = Arc::clone(&service);
                tasks.spawn(async move {
                    let tidied = tokio::task::spawn_blocking(move || service.tidy()).await;
                    if let Err(panic) = tidied {
                        tracing::error!("tidying failed: {panic}");
                    }
                });
            }
            _ = keep.tick() => {
                let (service, history) = (Arc::clone(&service), history.clone());
                tasks.spawn_blocking(move || keep_history(&service, &history));
            }
            Some(ended) = tasks.join_next() => {
                if let Err(panic) = ended {
                    tracing::error!("a connection failed: {panic}");
                }
            }
            _ = hangup.recv() => {
                reload(&policies, log.as_ref(), certificate.as_ref());
                monitor.wake();
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    drop(listener);
    if let Err(error) = std::fs::remove_file(&options.socket) {
        tracing::warn!("cannot remove {}: {error}", options.socket.display());
    }
    // Nobody is left to hear it only if no connection is left.
    stop.send_replace(true);
    // Zeroing need not be waited for: it goes on after the next start.
    service.stop();
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    while tasks.join_next().await.is_some() {}
    drop(monitor);
    // Before another server can have the state folder.
    drop(evacuator);
    drop(zeroer);
    keep_history(&service, &history);
    drop(lock);
    Ok(())
}

fn keep_history(service: &Service, path: &Path) {
    if let Err(error) = service.histories().save(path) {
        tracing::warn!("cannot write {}: {error}", path.display());
    }
}

fn reload(policies: &Policies, log: Option<&LogFile>, certificate: Option<&Certificate>) {
    notify(&[sd_notify::NotifyState::Reloading]);
    if let Some(log) = log
        && let Err(error) = log.reopen()
    {
        tracing::error!(
            "cannot open {} again: {error}; the old file stays",
            log.path().display()
        );
    }
    if let Some(certificate) = certificate {
        match certificate.reload() {
            Ok(()) => tracing::info!("read {} anew", certificate.path().display()),
            Err(error) => tracing::error!("{error}; the certificate that was read before stays"),
        }
    }
    match policies.reload() {
        Ok(()) => tracing::info!("read the policies anew: {}", policies.path().display()),
        Err(error) => tracing::error!("{error}; the policies that were read before stay"),
    }
    notify(&[sd_notify::NotifyState::Ready]);
}

fn make_folder(path: &Path, mode: u32) -> Result<(), DaemonError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| DaemonError::Folder {
            path: path.to_owned(),
            source,
        })
}

/// Listens on `socket`, in place of a socket that nobody answers on.
async fn listen(socket: &Path) -> Result<UnixListener, DaemonError> {
    if UnixStream::connect(socket).await.is_ok() {
        return Err(DaemonError::Live(socket.to_owned()));
    }
    let failed = |source| DaemonError::Listen {
        path: socket.to_owned(),
        source,
    };
    // Under another name until its mode is right, so that nobody connects who may not.
    let mut new = socket.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    bd_durable::remove(&new).map_err(failed)?;
    let listener = UnixListener::bind(&new).map_err(failed)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&new, socket))
        .map_err(failed)?;
    Ok(listener)
}

/// Says that requests are answered from now on.
fn announce(socket: &Path, metrics: Option<&Listener>) {
    if let Some(Ok(url)) = metrics.map(Listener::url) {
        tracing::info!("metrics are at {url}/metrics");
    }
    #[expect(clippy::print_stderr, reason = "scripts wait for exactly this line")]
    {
        eprintln!("gluster-bdd: ready on {}", socket.display());
    }
    notify(&[sd_notify::NotifyState::Ready]);
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!("cannot notify the service manager: {error}");
    }
}
