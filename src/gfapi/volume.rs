use std::ffi::{CString, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{ConnectError, Directory, File, FileError, Stat};

/// How long libgfapi may take to keep a copy of its volfile.
const COPY_WITHIN: Duration = Duration::from_secs(10);

/// Where glusterd answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port; Gluster's own if not given.
    pub port: Option<u16>,
}

/// A connection to a volume.
///
/// Dropping it ends nothing: libgfapi takes ten seconds to come to rest, and a program that
/// connects to a volume for one job wants to end at once. Every call here has been answered by
/// the servers when it returns, and data is not written through this interface, so nothing is
/// lost; the servers notice that the client is gone.
#[derive(Debug)]
pub struct Volume {
    fs: NonNull<gfapi_sys::glfs>,
    name: String,
}

/// Level of `INFO` in glfs_set_logging.
const LOG_INFO: c_int = 7;

impl Volume {
    /// Connects to volume `name`; libgfapi's log goes to `log`, or nowhere if that cannot be
    /// written.
    ///
    /// The volume's first answer decides: a volume that does not exist or is not started, and a
    /// server that does not answer, are errors.
    pub fn connect(name: &str, server: &Server, log: &Path) -> Result<Volume, ConnectError> {
        let failed = |source: io::Error| ConnectError {
            volume: name.to_owned(),
            server: server.host.clone(),
            source,
        };
        let c_host = CString::new(server.host.as_str());
        let c_host = c_host.map_err(|_| failed(io::Error::from_raw_os_error(libc::EINVAL)))?;
        let port = server.port.map_or(0, c_int::from);
        Volume::begin(name, log, |fs| {
            // SAFETY: `fs` is what glfs_new gave; the strings are C strings that libgfapi copies.
            unsafe {
                gfapi_sys::glfs_set_volfile_server(fs, c"tcp".as_ptr(), c_host.as_ptr(), port) == 0
            }
        })
        .map_err(failed)
    }

    /// Connects by a volfile of the caller's own, which may be that of a part of a volume; `name`,
    /// of letters, digits, `-` and `_`, stands for it in errors. The file is read now, and not needed
    /// later.
    ///
    /// # Errors
    /// As [`Volume::connect`].
    pub fn connect_by_volfile(
        name: &str,
        volfile: &Path,
        log: &Path,
    ) -> Result<Volume, ConnectError> {
        let failed = |source: io::Error| ConnectError {
            volume: name.to_owned(),
            server: volfile.display().to_string(),
            source,
        };
        let c_volfile = CString::new(volfile.as_os_str().as_bytes());
        let c_volfile =
            c_volfile.map_err(|_| failed(io::Error::from_raw_os_error(libc::EINVAL)))?;
        Volume::begin(name, log, |fs| {
            // SAFETY: `fs` is what glfs_new gave; the string is a C string that libgfapi copies.
            unsafe { gfapi_sys::glfs_set_volfile(fs, c_volfile.as_ptr()) == 0 }
        })
        .map_err(failed)
    }

    /// Connects, where `prepare` says how.
    fn begin(
        name: &str,
        log: &Path,
        prepare: impl FnOnce(*mut gfapi_sys::glfs) -> bool,
    ) -> io::Result<Volume> {
        let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
        let c_name = CString::new(name).map_err(invalid)?;
        let c_log = CString::new(usable(log).as_os_str().as_bytes()).map_err(invalid)?;
        // SAFETY: the name is a C string; libgfapi keeps a copy.
        let fs = unsafe { gfapi_sys::glfs_new(c_name.as_ptr()) };
        let fs = NonNull::new(fs).ok_or_else(last_error)?;
        // SAFETY: `fs` is what glfs_new gave; the log's name is a C string that libgfapi copies.
        let ready = unsafe {
            gfapi_sys::glfs_set_logging(fs.as_ptr(), c_log.as_ptr(), LOG_INFO) == 0
                && prepare(fs.as_ptr())
                && gfapi_sys::glfs_init(fs.as_ptr()) == 0
        };
        if ready {
            Ok(Volume {
                fs,
                name: name.to_owned(),
            })
        } else {
            Err(explained(last_error()))
        }
    }

    /// The volfile that glusterd gave for the connection. It may hold passwords.
    ///
    /// # Errors
    /// libgfapi has none.
    pub fn volfile(&self) -> Result<String, FileError> {
        // With less room than it needs, it says how much is missing. With more it would read past the
        // end of its copy, so the second call has just as much.
        let ask = |text: &mut [u8]| {
            self.at("read the volfile of", "", |fs, _| {
                // SAFETY: `text` has so many bytes. Without a copy, libgfapi reads as many from a null
                // pointer; the first call, which alone can come so early, has none.
                let got = unsafe {
                    gfapi_sys::glfs_get_volfile(fs, text.as_mut_ptr().cast(), text.len())
                };
                Some(got)
            })
        };
        // Its thread keeps the copy a moment after it has built the graph, which may serve already.
        let start = Instant::now();
        let mut missing = ask(&mut [])?;
        while missing == 0 && start.elapsed() < COPY_WITHIN {
            sleep(Duration::from_millis(5));
            missing = ask(&mut [])?;
        }
        if missing == 0 {
            return Err(FileError {
                operation: "read the volfile of",
                path: self.full(""),
                source: io::Error::from_raw_os_error(libc::ETIMEDOUT),
            });
        }
        let mut text = vec![0; missing.min(0).unsigned_abs()];
        ask(&mut text)?;
        let end = text.iter().position(|byte| *byte == 0);
        text.truncate(end.unwrap_or(text.len()));
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Attributes of a file; a symbolic link is not followed.
    pub fn stat(&self, path: &str) -> Result<Stat, FileError> {
        self.at("look at", path, |fs, path| {
            let mut stat = MaybeUninit::uninit();
            // SAFETY: `path` is a C string and `stat` has room for the answer.
            let code = unsafe { gfapi_sys::glfs_lstat(fs, path, stat.as_mut_ptr()) };
            if code != 0 {
                return None;
            }
            // SAFETY: the call has succeeded, so it has filled the structure.
            Some(Stat::from_c(unsafe { stat.assume_init_ref() }))
        })
    }

    /// Makes a file that must not exist, open for writing.
    pub fn create(&self, path: &str, mode: u32) -> Result<File, FileError> {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        self.at("create", path, |fs, path| {
            // SAFETY: `path` is a C string.
            NonNull::new(unsafe { gfapi_sys::glfs_creat(fs, path, flags, mode) })
        })
        .map(|fd| File::new(fd, self.full(path)))
    }

    /// Opens a file for writing.
    pub fn open(&self, path: &str) -> Result<File, FileError> {
        self.at("open", path, |fs, path| {
            // SAFETY: `path` is a C string.
            NonNull::new(unsafe { gfapi_sys::glfs_open(fs, path, libc::O_RDWR) })
        })
        .map(|fd| File::new(fd, self.full(path)))
    }

    /// Removes a file's name.
    pub fn unlink(&self, path: &str) -> Result<(), FileError> {
        self.at("delete", path, |fs, path| {
            // SAFETY: `path` is a C string.
            done(unsafe { gfapi_sys::glfs_unlink(fs, path) })
        })
    }

    /// Makes a directory.
    pub fn mkdir(&self, path: &str, mode: u32) -> Result<(), FileError> {
        self.at("make", path, |fs, path| {
            // SAFETY: `path` is a C string.
            done(unsafe { gfapi_sys::glfs_mkdir(fs, path, mode) })
        })
    }

    /// Gives a file another name; one that has that name is replaced.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.two("rename", from, to, |fs, from, to| {
            // SAFETY: both paths are C strings.
            unsafe { gfapi_sys::glfs_rename(fs, from, to) }
        })
    }

    /// Gives a file a second name, which is a clone in an image directory.
    pub fn link(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.two("clone", from, to, |fs, from, to| {
            // SAFETY: both paths are C strings.
            unsafe { gfapi_sys::glfs_link(fs, from, to) }
        })
    }

    /// Makes a symbolic link, which is a snapshot in an image directory.
    pub fn symlink(&self, target: &str, at: &str) -> Result<(), FileError> {
        self.two("snapshot", target, at, |fs, target, at| {
            // SAFETY: both paths are C strings.
            unsafe { gfapi_sys::glfs_symlink(fs, target, at) }
        })
    }

    /// Reads an attribute.
    pub fn getxattr(&self, path: &str, name: &str) -> Result<Vec<u8>, FileError> {
        let mut room = 256;
        loop {
            let mut value = vec![0_u8; room];
            let got = self.at("read an attribute of", path, |fs, path| {
                let name = CString::new(name).ok()?;
                // SAFETY: `path` and `name` are C strings, and `value` has `room` bytes.
                let got = unsafe {
                    gfapi_sys::glfs_lgetxattr(
                        fs,
                        path,
                        name.as_ptr(),
                        value.as_mut_ptr().cast(),
                        room,
                    )
                };
                usize::try_from(got).ok()
            });
            match got {
                Ok(len) => {
                    value.truncate(len);
                    return Ok(value);
                }
                Err(error) if error.errno() == libc::ERANGE && room < 1 << 20 => room *= 16,
                Err(error) => return Err(error),
            }
        }
    }

    /// Sets an attribute.
    pub fn setxattr(&self, path: &str, name: &str, value: &[u8]) -> Result<(), FileError> {
        self.at("set an attribute of", path, |fs, path| {
            let name = CString::new(name).ok()?;
            // SAFETY: `path` and `name` are C strings; `value` is read up to its length.
            done(unsafe {
                gfapi_sys::glfs_lsetxattr(
                    fs,
                    path,
                    name.as_ptr(),
                    value.as_ptr().cast(),
                    value.len(),
                    0,
                )
            })
        })
    }

    /// Opens a directory to read its names.
    pub fn open_directory(&self, path: &str) -> Result<Directory<'_>, FileError> {
        self.at("list", path, |fs, path| {
            // SAFETY: `path` is a C string.
            NonNull::new(unsafe { gfapi_sys::glfs_opendir(fs, path) })
        })
        .map(|fd| Directory::new(fd, self.full(path)))
    }

    /// The path as errors name it.
    fn full(&self, path: &str) -> String {
        format!("{}:{path}", self.name)
    }

    fn at<T>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl FnOnce(*mut gfapi_sys::glfs, *const libc::c_char) -> Option<T>,
    ) -> Result<T, FileError> {
        let failed = |source| FileError {
            operation,
            path: self.full(path),
            source,
        };
        let c_path =
            CString::new(path).map_err(|_| failed(io::Error::from_raw_os_error(libc::EINVAL)))?;
        call(self.fs.as_ptr(), c_path.as_ptr()).ok_or_else(|| failed(last_error()))
    }

    fn two(
        &self,
        operation: &'static str,
        from: &str,
        to: &str,
        call: impl FnOnce(*mut gfapi_sys::glfs, *const libc::c_char, *const libc::c_char) -> c_int,
    ) -> Result<(), FileError> {
        self.at(operation, from, |fs, c_from| {
            let c_to = CString::new(to).ok()?;
            done(call(fs, c_from, c_to.as_ptr()))
        })
        .map_err(|error| FileError {
            path: format!("{} as {to}", self.full(from)),
            ..error
        })
    }
}

/// The log, if it can be written. libgfapi would complain on the terminal.
fn usable(log: &Path) -> &Path {
    let opened = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log);
    match opened {
        Ok(_) => log,
        Err(_) => Path::new("/dev/null"),
    }
}

/// `Some` if a call says that it succeeded.
pub(crate) fn done(code: c_int) -> Option<()> {
    (code == 0).then_some(())
}

/// What libgfapi left in errno; some of its failures leave nothing.
pub(crate) fn last_error() -> io::Error {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        None | Some(0) => io::Error::from_raw_os_error(libc::EIO),
        Some(_) => error,
    }
}

/// Ends the process with `code`, at once.
///
/// The threads of libgfapi still run, and the clean-up of the C library while they do so is what
/// makes programs crash at their end. The caller has written out its output.
pub fn end_process(code: u8) -> ! {
    // SAFETY: _exit takes any number and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// A null pointer for answers that nobody wants.
pub(crate) fn unwanted() -> *mut gfapi_sys::glfs_stat {
    ptr::null_mut()
}

/// GlusterFS 11 says that there is no memory when glusterd has no such volume; 10 says ENOENT.
fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => io::Error::new(
            io::ErrorKind::NotFound,
            "glusterd gives no volume of that name",
        ),
        _ => error,
    }
}
