//! liblvm2cmd, and two ioctls of block devices.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// A message which LVM logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// 2 fatal, 3 error, 4 warning or output.
    pub(crate) level: c_int,
    /// Whether it is a line of a report.
    pub(crate) report: bool,
    pub(crate) text: String,
}

thread_local! {
    static MESSAGES: RefCell<Vec<Message>> = const { RefCell::new(Vec::new()) };
}

/// Whether some thread of the process owns the library.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The library; bound to the thread that opened it.
#[derive(Debug)]
pub(crate) struct Handle {
    raw: NonNull<c_void>,
    /// The thread's own locale and the one before it, if one could be made.
    locale: Option<(libc::locale_t, libc::locale_t)>,
    /// The library keeps its state in globals without locks.
    not_send: PhantomData<*const ()>,
}

impl Handle {
    /// Opens the library for this thread.
    pub(crate) fn open() -> Result<Handle, String> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err("liblvm2cmd is in use by another thread of this process".to_owned());
        }
        // SAFETY: TAKEN makes this the only thread that calls the library; `log` fits the type
        // that the header gives and lives as long as the program.
        let raw = unsafe {
            lvm2_sys::lvm2_log_fn(Some(log));
            lvm2_sys::lvm2_init()
        };
        let Some(raw) = NonNull::new(raw) else {
            TAKEN.store(false, Ordering::Release);
            return Err(format!("liblvm2cmd cannot start: {:?}", take_messages()));
        };
        // LVM's start has set the locale of the environment; its messages must stay readable
        // for programs.
        // SAFETY: the mask and the name are valid, and no base locale is given.
        let own =
            unsafe { libc::newlocale(libc::LC_ALL_MASK, c"C".as_ptr(), std::ptr::null_mut()) };
        let locale = (!own.is_null()).then(|| {
            // SAFETY: the locale was just made, and is freed only after it was replaced again.
            (own, unsafe { libc::uselocale(own) })
        });
        take_messages();
        Ok(Handle {
            raw,
            locale,
            not_send: PhantomData,
        })
    }

    /// Runs one command line; gives the return value and the messages.
    pub(crate) fn run(&mut self, line: &CStr) -> (c_int, Vec<Message>) {
        take_messages();
        // SAFETY: the handle came from lvm2_init on this thread and was not given back; the
        // library copies the line before it cuts it.
        let status = unsafe { lvm2_sys::lvm2_run(self.raw.as_ptr(), line.as_ptr()) };
        (status, take_messages())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is valid, and nobody can use it after this.
        unsafe { lvm2_sys::lvm2_exit(self.raw.as_ptr()) };
        if let Some((own, before)) = self.locale {
            // SAFETY: `before` was this thread's locale, and `own` is replaced before it is freed.
            unsafe {
                libc::uselocale(before);
                libc::freelocale(own);
            }
        }
        TAKEN.store(false, Ordering::Release);
    }
}

fn take_messages() -> Vec<Message> {
    MESSAGES
        .with(|messages| {
            messages
                .try_borrow_mut()
                .map(|mut m| std::mem::take(&mut *m))
        })
        .unwrap_or_default()
}

/// LVM calls this for each message, on the thread that runs the command.
unsafe extern "C" fn log(
    level: c_int,
    file: *const c_char,
    _line: c_int,
    _dm_errno: c_int,
    message: *const c_char,
) {
    // Verbose and debug messages come too, thousands of them.
    if level > 4 || message.is_null() {
        return;
    }
    // SAFETY: LVM gives C strings that live until this returns; the file may be null.
    let (file, text) = unsafe {
        let file = if file.is_null() {
            c""
        } else {
            CStr::from_ptr(file)
        };
        (file, CStr::from_ptr(message))
    };
    let message = Message {
        level,
        // Warnings and the lines of a report have the same level; the place in LVM's source
        // tells them apart.
        report: file.to_bytes().ends_with(b"libdm-report.c"),
        text: text.to_string_lossy().into_owned(),
    };
    // A panic must not reach C: a message that cannot be kept is dropped.
    let _ = MESSAGES.try_with(|messages| messages.try_borrow_mut().map(|mut m| m.push(message)));
}

/// `BLKDISCARD`: `_IO(0x12, 119)` of linux/fs.h.
const BLKDISCARD: libc::Ioctl = 0x1277;
/// `BLKZEROOUT`: `_IO(0x12, 127)` of linux/fs.h.
const BLKZEROOUT: libc::Ioctl = 0x127f;

fn range_ioctl(
    device: BorrowedFd<'_>,
    request: libc::Ioctl,
    from: u64,
    len: u64,
) -> io::Result<()> {
    let range = [from, len];
    // SAFETY: both requests read two 64-bit numbers from the pointer, which is valid during the
    // call, and the descriptor is open. On anything but a block device they fail.
    let status = unsafe { libc::ioctl(device.as_raw_fd(), request, range.as_ptr()) };
    if status < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

pub(crate) fn blkdiscard(device: BorrowedFd<'_>, from: u64, len: u64) -> io::Result<()> {
    range_ioctl(device, BLKDISCARD, from, len)
}

pub(crate) fn blkzeroout(device: BorrowedFd<'_>, from: u64, len: u64) -> io::Result<()> {
    range_ioctl(device, BLKZEROOUT, from, len)
}
