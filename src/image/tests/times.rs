//! The times of an image, of which the stub knows later.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Times, Timestamp};

#[derive(Clone, Copy, Debug)]
enum Op {
    Write(i64),
    /// The times are saved, and whether that works.
    Save(bool),
    /// A client sets the mtime.
    Set(i64),
}

fn at(seconds: i64) -> Timestamp {
    Timestamp {
        seconds,
        nanoseconds: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// As a brick uses them, with a list of images to save.
    #[test]
    fn no_write_is_forgotten_and_no_time_goes_back(ops in vec(prop_oneof![
        3 => (0..50_i64).prop_map(Op::Write),
        2 => any::<bool>().prop_map(Op::Save),
        1 => (0..50_i64).prop_map(Op::Set),
    ], 1..40)) {
        let (mut times, mut stub, mut is_listed) = (Times::default(), at(0), false);
        let (mut newest, mut changed) = (None, at(0));
        for op in ops {
            match op {
                Op::Write(seconds) => {
                    newest = newest.max(Some(at(seconds)));
                    is_listed |= times.note_write(at(seconds));
                }
                Op::Save(works) => if std::mem::take(&mut is_listed)
                    && let Some(written) = times.take_unsaved()
                {
                    if works {
                        stub = written;
                    } else {
                        times.put_back();
                        is_listed = true;
                    }
                },
                Op::Set(seconds) => {
                    (stub, newest) = (at(seconds), None);
                    times.overrule();
                }
            }
            let modified = times.modified(stub);
            assert_eq!(modified, newest.map_or(stub, |newest| newest.max(stub)));
            assert!(modified == stub || is_listed, "nobody will save {modified:?}");
            let now = times.changed(stub);
            assert!(now >= changed && now >= modified.min(now));
            changed = now;
        }
    }
}
