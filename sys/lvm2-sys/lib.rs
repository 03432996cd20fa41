//! The C interface of liblvm2cmd, generated from the installed header at build time.
//!
//! The library is not thread-safe, locks memory and forks: only the `bd-lvm` crate may use this.

mod bindings {
    #![allow(missing_docs, missing_debug_implementations, unreachable_pub)]
    #![allow(non_camel_case_types, non_snake_case, non_upper_case_globals)]
    #![allow(unsafe_op_in_unsafe_fn, clippy::all, clippy::pedantic)]
    #![allow(clippy::undocumented_unsafe_blocks)]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_values_are_those_of_the_manual() {
        assert_eq!(LVM2_COMMAND_SUCCEEDED, 1);
        assert_eq!(LVM2_PROCESSING_FAILED, 5);
        assert_eq!((LVM2_LOG_FATAL, LVM2_LOG_ERROR, LVM2_LOG_PRINT), (2, 3, 4));
    }
}
