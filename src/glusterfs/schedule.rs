//! Which threads the kernel runs first.

use crate::Errno;

/// Lets a thread of this process run at once when it has something to do, before all ordinary
/// threads of the machine. Only for threads that do little.
///
/// # Errors
/// `EPERM` without the privilege (`CAP_SYS_NICE`), `ESRCH` as another error if there is no such
/// thread.
pub fn run_first(thread: i32) -> Result<(), Errno> {
    // SAFETY: a structure of integers, for which zero is a value.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = 1;
    // SAFETY: the structure lives; a wrong thread number is an error.
    let ret = unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const parameters) };
    if ret == 0 {
        return Ok(());
    }
    Err(Errno::of_io(&std::io::Error::last_os_error()))
}
