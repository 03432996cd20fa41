//! The end of a process.

/// Calls `act` when the process ends by exit(3), as glusterfsd does at a signal.
///
/// Other threads run on meanwhile. Whether libc could take one more is the answer.
pub fn at_exit(act: extern "C" fn()) -> bool {
    // SAFETY: a function that lives as long as the code, which libc calls once, at the latest before the
    // shared object goes.
    unsafe { libc::atexit(act) == 0 }
}
