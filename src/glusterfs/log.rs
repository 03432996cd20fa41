//! Lines in the process's log file, in GlusterFS's format.

use std::ffi::CString;
use std::fmt;

use glusterfs_sys as sys;

use crate::this;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// Something that the reader of a log wants to know.
    Info,
    /// For debugging; not written by default.
    Debug,
}

/// Writes a line; use the macros [`gf_error!`](crate::gf_error) and its sisters.
pub fn write(level: Level, file: &str, line: u32, text: fmt::Arguments<'_>) {
    let this = this::get();
    // SAFETY: THIS is always a live translator; before GlusterFS is set up it has no context.
    if unsafe { (*this).ctx.is_null() } {
        return;
    }
    let raw = match level {
        Level::Error => sys::GF_LOG_ERROR,
        Level::Warning => sys::GF_LOG_WARNING,
        Level::Info => sys::GF_LOG_INFO,
        Level::Debug => sys::GF_LOG_DEBUG,
    };
    let clean = |text: String| CString::new(text.replace('\0', " ")).unwrap_or_default();
    let (text, file) = (clean(text.to_string()), clean(file.to_owned()));
    let line = i32::try_from(line).unwrap_or(0);
    // SAFETY: NUL-ended strings, and a format that takes one of them.
    unsafe {
        sys::_gf_log(
            crate::memory::text((*this).name).as_ptr(),
            file.as_ptr(),
            c"rust".as_ptr(),
            line,
            raw,
            c"%s".as_ptr(),
            text.as_ptr(),
        )
    };
}

/// Writes an error to the process's log.
#[macro_export]
macro_rules! gf_error {
    ($($arg:tt)*) => {
        $crate::log::write($crate::log::Level::Error, file!(), line!(), format_args!($($arg)*))
    };
}

/// Writes a warning to the process's log.
#[macro_export]
macro_rules! gf_warn {
    ($($arg:tt)*) => {
        $crate::log::write($crate::log::Level::Warning, file!(), line!(), format_args!($($arg)*))
    };
}

/// Writes a piece of information to the process's log.
#[macro_export]
macro_rules! gf_info {
    ($($arg:tt)*) => {
        $crate::log::write($crate::log::Level::Info, file!(), line!(), format_args!($($arg)*))
    };
}

/// Writes a line for debugging to the process's log.
#[macro_export]
macro_rules! gf_debug {
    ($($arg:tt)*) => {
        $crate::log::write($crate::log::Level::Debug, file!(), line!(), format_args!($($arg)*))
    };
}
