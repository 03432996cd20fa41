//! How a fop is written down in `fops`.

/// Defines a fop whose C parameters stand one for one for the fields.
///
/// The reply's `xdata` stands behind the fields, before those in brackets. `value` names the
/// field that is C's `op_ret`, `eof` the one that is `op_errno == ENOENT` of a success.
macro_rules! fop {
    (
        $(#[$doc:meta])*
        $Fop:ident = $method:ident, $cbk:ident;
        $Args:ident { $($a:ident : $at:ty),* $(,)? }
        $Reply:ident $(value $value:ident)? $(eof $eof:ident)?
            { $($r:ident : $rt:ty),* $(,)? } $([ $($q:ident : $qt:ty),* ])?
    ) => {
        fop! { @arguments $Fop $method $Args { $($a : $at),* } }
        fop! { @reply $Fop $method $Reply $(value $value)? $(eof $eof)?
            { $($r : $rt),* } [ $($($q : $qt),*)? ] }
        fop! { @implement
            $(#[$doc])*
            $Fop = $method, $cbk;
            $Args ( $($a : <$at as Arg>::Raw),* )
                from { Some($Args { $($a: <$at as Arg>::from_raw($a)?),* }) }
                to args ( $(args.$a.raw()),* )
                own args { $Args { $($a: args.$a.own()),* } }
            $Reply ( $($r : <$rt as Arg>::Raw,)* xdata : *mut sys::dict_t
                    $($(, $q : <$qt as Arg>::Raw)*)? )
                from op_ret op_errno { Some($Reply {
                    $($value: op_ret.try_into().unwrap_or_default(),)?
                    $($eof: op_errno == libc::ENOENT,)?
                    $($r: <$rt as Arg>::from_raw($r)?,)*
                    xdata: <Option<Dict<'_>> as Arg>::from_raw(xdata)?,
                    $($($q: <$qt as Arg>::from_raw($q)?,)*)?
                }) }
                value reply { fop!(@value reply $($value)?) }
                errno reply { fop!(@errno reply $($eof)?) }
                to reply ( $(reply.$r.raw(),)* reply.xdata.raw() $($(, reply.$q.raw())*)? )
                absent failure xdata ( $(<$rt as Arg>::absent_from(&failure),)* xdata
                    $($(, <$qt as Arg>::absent_from(&failure))*)? )
                own reply { $Reply {
                    $($value: reply.$value,)?
                    $($eof: reply.$eof,)?
                    $($r: reply.$r.own(),)*
                    xdata: reply.xdata.own(),
                    $($($q: reply.$q.own(),)*)?
                } }
        }
    };

    (@arguments $Fop:ident $method:ident $Args:ident { $($a:ident : $at:ty),* }) => {
        #[doc = concat!("The arguments of [`", stringify!($Fop), "`].")]
        #[derive(Debug)]
        pub struct $Args<'a> {
            $(
                #[doc = concat!("`", stringify!($a), "`, as in C's `fop_", stringify!($method), "_t`.")]
                pub $a: $at,
            )*
        }
    };

    (@reply $Fop:ident $method:ident $Reply:ident $(value $value:ident)? $(eof $eof:ident)?
        { $($r:ident : $rt:ty),* } [ $($q:ident : $qt:ty),* ]) => {
        #[doc = concat!("What [`", stringify!($Fop), "`] answers on success.")]
        #[derive(Debug)]
        pub struct $Reply<'a> {
            $(
                /// The number that the operation returns: mostly a count of bytes.
                pub $value: u32,
            )?
            $(
                /// True if this is the end of the file or directory.
                pub $eof: bool,
            )?
            $(
                #[doc = concat!("`", stringify!($r), "`, as in C's `fop_", stringify!($method), "_cbk_t`.")]
                pub $r: $rt,
            )*
            /// Extra data.
            pub xdata: Option<Dict<'a>>,
            $(
                #[doc = concat!("`", stringify!($q), "`, as in C's `fop_", stringify!($method), "_cbk_t`.")]
                pub $q: $qt,
            )*
        }
    };

    (@value $reply:ident) => { { let _ = $reply; 0 } };
    (@value $reply:ident $value:ident) => { i32::try_from($reply.$value).unwrap_or(i32::MAX) };
    (@errno $reply:ident) => { { let _ = $reply; 0 } };
    (@errno $reply:ident $eof:ident) => { if $reply.$eof { libc::ENOENT } else { 0 } };

    (@implement
        $(#[$doc:meta])*
        $Fop:ident = $method:ident, $cbk:ident;
        $Args:ident ( $($c:ident : $ct:ty),* )
            from { $from:expr }
            to $x:ident ( $($to:expr),* )
            own $o:ident { $own:expr }
        $Reply:ident ( $($rc:ident : $rct:ty),* )
            from $op_ret:ident $op_errno:ident { $rfrom:expr }
            value $v:ident { $rvalue:expr }
            errno $e:ident { $rerrno:expr }
            to $rx:ident ( $($rto:expr),* )
            absent $f:ident $ax:ident ( $($absent:expr),* )
            own $ro:ident { $rown:expr }
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $Fop {}

        pub(crate) mod $method {
            use super::*;

            /// The function in a translator's table.
            #[allow(clippy::extra_unused_lifetimes, reason = "some arguments are spelled out")]
            pub(crate) unsafe extern "C" fn entry<'a, T: Translator>(
                frame: *mut sys::call_frame_t,
                this: *mut sys::xlator_t,
                $($c: $ct),*
            ) -> i32 {
                with_room(&mut || {
                    // SAFETY: the caller lends live arguments for the time of the call.
                    let args: Option<$Args<'a>> = (|| unsafe { $from })();
                    // SAFETY: the caller gives a frame of this fop, for this translator.
                    unsafe { serve::<T, $Fop>(frame, this, args, T::$method) };
                });
                0
            }

            #[allow(clippy::extra_unused_lifetimes, reason = "some replies borrow nothing")]
            pub(super) unsafe extern "C" fn callback<'a>(
                _frame: *mut sys::call_frame_t,
                cookie: *mut c_void,
                _this: *mut sys::xlator_t,
                $op_ret: i32,
                $op_errno: i32,
                $($rc: $rct),*
            ) -> i32 {
                let answer: Answer<'a, $Fop> = if $op_ret < 0 {
                    // SAFETY: null or live for the time of the call.
                    let xdata = unsafe { <Option<Dict<'a>> as Arg>::from_raw($ax) };
                    Err(Failure { errno: Errno::new($op_errno), xdata: xdata.flatten(), inode: None })
                } else {
                    // SAFETY: the caller lends a live answer for the time of the call.
                    let reply: Option<$Reply<'a>> = (|| unsafe { $rfrom })();
                    reply.ok_or_else(|| Errno::EIO.into())
                };
                // SAFETY: the cookie that wind put into the frame, on its one answer.
                unsafe { deliver::<$Fop>(cookie, answer) };
                0
            }
        }

        impl Fop for $Fop {
            type Args<'a> = $Args<'a>;
            type Reply<'a> = $Reply<'a>;
            const NAME: &'static CStr =
                match CStr::from_bytes_with_nul(concat!(stringify!($method), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => c"fop",
                };

            fn own_args($o: $Args<'_>) -> $Args<'static> {
                $own
            }

            fn own_reply($ro: $Reply<'_>) -> $Reply<'static> {
                $rown
            }

            fn index() -> u32 {
                // The table starts with stat, which has number 1.
                const AT: usize = 1 + (std::mem::offset_of!(sys::xlator_fops, $method)
                    - std::mem::offset_of!(sys::xlator_fops, stat)) / size_of::<usize>();
                u32::try_from(AT).unwrap_or(0)
            }

            unsafe fn send(
                frame: *mut sys::call_frame_t,
                to: *mut sys::xlator_t,
                $x: &$Args<'_>,
            ) -> bool {
                // SAFETY: `to` is live.
                let function = unsafe { (*table(to)).$method };
                if let Some(function) = function {
                    // SAFETY: a frame for this fop and translator, and live arguments.
                    unsafe { function(frame, to, $($to),*) };
                }
                function.is_some()
            }

            fn callback() -> sys::ret_fn_t {
                let callback: sys::$cbk = Some($method::callback);
                // SAFETY: C keeps callbacks of all fops in one type, and casts back to call.
                unsafe { std::mem::transmute::<sys::$cbk, sys::ret_fn_t>(callback) }
            }

            unsafe fn answer<'a>(
                ret: sys::ret_fn_t,
                parent: *mut sys::call_frame_t,
                cookie: *mut c_void,
                answer: Answer<'a, Self>,
            ) {
                // SAFETY: a frame of this fop holds a callback of this fop's type.
                let callback = unsafe { std::mem::transmute::<sys::ret_fn_t, sys::$cbk>(ret) };
                let Some(callback) = callback else { return };
                // SAFETY: the parent is live until it is answered.
                let above = unsafe { (*parent).this };
                match answer {
                    Ok($rx) => {
                        let (op_ret, op_errno) = (Self::value(&$rx), { let $e = &$rx; $rerrno });
                        // SAFETY: the reply is live until the call is over.
                        unsafe {
                            callback(parent, cookie, above, op_ret, op_errno, $($rto),*)
                        };
                    }
                    Err($f) => {
                        let $ax = $f.xdata.raw();
                        // SAFETY: xdata and inode of a failure are live until the call is over.
                        unsafe {
                            callback(parent, cookie, above, -1, $f.errno.raw(), $($absent),*)
                        };
                    }
                }
            }

            fn value($v: &$Reply<'_>) -> i32 {
                $rvalue
            }
        }
    };
}
