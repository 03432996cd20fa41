//! Calls that wait until images are zeroed, and what is done meanwhile. Pieces are zeroed by hand.

mod bed;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bd_lvm::Tag;
use bd_model::{Bytes, Gfid};
use bd_proto::{FaultKind, JobOrder, JobState, Reply, Request};

use bed::*;

const MIB: u64 = 1 << 20;

#[track_caller]
fn is_done(reply: Reply) {
    assert!(!matches!(reply, Reply::Fault(_)), "{reply:?}");
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_call_waits_for_the_job() {
    let server = Server::new();
    let gfid = Gfid::random();
    let created = server.call(server.create(gfid, 40));
    let job = server.waited_for(1, 1);
    assert_eq!(
        (job.kind.to_string(), job.gfid),
        ("zero".to_owned(), Some(gfid))
    );
    assert_eq!((job.done, job.total), (Bytes(0), Some(Bytes(40 * MIB))));
    server.pieces(2);
    let job = server.job(1);
    assert_eq!((job.state, job.done), (JobState::Running, Bytes(16 * MIB)));
    // Others go on meanwhile; a second call joins.
    is_done(server.ask(Request::Info {
        brick: server.id,
        gfid,
    }));
    let other = Gfid::random();
    is_done(server.ask(server.create(other, 4)));
    let again = server.call(server.create(gfid, 40));
    server.waited_for(1, 2);
    assert_eq!(server.order(1, JobOrder::Pause).state, JobState::Paused);
    assert!(server.service.zero_piece(server.id).is_none());
    let tags = server.lvm.state().lv(&name("image")).unwrap().tags.clone();
    assert!(tags.contains(&Tag::Zeroing(Bytes(16 * MIB))), "{tags:?}");
    created.not_yet();
    server.order(1, JobOrder::Resume);
    server.pieces(3);
    is_done(created.reply());
    is_done(again.reply());
    let job = server.job(1);
    assert_eq!((job.state, job.done), (JobState::Done, Bytes(40 * MIB)));
    assert!(!server.is_dirty());
    let of_image = [(0, 8), (8, 8), (0, 4), (16, 8), (24, 8), (32, 8)];
    assert_eq!(server.zeroed(), of_image);
    assert!(server.service.zero_piece(server.id).is_none());
    is_done(server.ask(server.open(gfid)));
}

#[test]
fn what_is_cancelled_is_undone() {
    let server = Server::new();
    let gfid = Gfid::random();
    let created = server.call(server.create(gfid, 40));
    server.waited_for(1, 1);
    server.pieces(1);
    server.order(1, JobOrder::Cancel);
    let fault = created.fault();
    assert_eq!(fault.kind, FaultKind::Busy);
    assert!(
        fault
            .message
            .contains("was cancelled: by gluster-bd job cancel"),
        "{fault}"
    );
    assert_eq!(server.size(), None);

    let gfid = server.image();
    let grown = server.call(server.resize(gfid, 48));
    server.waited_for(2, 1);
    server.pieces(2);
    assert_eq!(server.size(), Some(48));
    server.order(2, JobOrder::Cancel);
    let fault = grown.fault();
    assert_eq!(fault.kind, FaultKind::Busy, "{fault}");
    assert_eq!((server.size(), server.is_dirty()), (Some(8), false));
    is_done(server.ask(server.open(gfid)));
    server.order(2, JobOrder::Cancel);
    // From the beginning when it grows once more.
    server.zeroed();
    let grown = server.call(server.resize(gfid, 32));
    server.waited_for(3, 1);
    server.pieces(3);
    is_done(grown.reply());
    assert_eq!(server.zeroed(), [(8, 8), (16, 8), (24, 8)]);

    server.kernel.break_disks();
    let grown = server.call(server.resize(gfid, 64));
    server.waited_for(4, 1);
    server.pieces(1);
    let fault = grown.fault();
    assert_eq!(fault.kind, FaultKind::Failed);
    assert!(fault.message.contains("the disk is broken"), "{fault}");
    assert_eq!(server.job(4).state, JobState::Failed);
    assert_eq!((server.size(), server.is_dirty()), (Some(32), false));
}

#[test]
fn it_goes_on_after_a_restart() {
    let server = Server::new();
    let gfid = server.image();
    let grown = server.call(server.resize(gfid, 64));
    server.waited_for(1, 1);
    server.pieces(2);
    server.service.keep_zeroed(server.id);
    server.pieces(1);
    server.service.stop();
    let fault = grown.fault();
    assert_eq!(fault.kind, FaultKind::Busy);
    assert!(
        fault
            .message
            .ends_with("is stopping; zeroing goes on after its start"),
        "{fault}"
    );
    assert_eq!((server.size(), server.is_dirty()), (Some(64), true));

    let server = server.restart();
    let job = server.job(1);
    assert_eq!((job.state, job.done), (JobState::Queued, Bytes(16 * MIB)));
    server.zeroed();
    let opened = server.call(server.open(gfid));
    server.waited_for(1, 1);
    server.pieces(2);
    opened.not_yet();
    let job = server.order(1, JobOrder::Pause);
    assert_eq!(
        (job.done, job.total),
        (Bytes(32 * MIB), Some(Bytes(56 * MIB)))
    );
    server.service.stop();
    opened.fault();

    // Whoever has paused it resumes it.
    let server = server.restart();
    assert!(server.service.bricks_to_zero().is_empty());
    server.order(1, JobOrder::Resume);
    assert_eq!(server.service.bricks_to_zero(), [server.id]);
    server.pieces(3);
    let pieces = [(24, 8), (32, 8), (40, 8), (48, 8), (56, 8)];
    assert_eq!(server.zeroed(), pieces);
    assert_eq!(server.job(1).state, JobState::Done);
    is_done(server.ask(server.open(gfid)));
    assert_eq!(server.size(), Some(64));
    // What was being made is undone: nobody has it.
    let new = Gfid::random();
    let server = server.restart();
    let request = match server.create(new, 40) {
        Request::Create {
            brick,
            gfid,
            kind,
            size,
            import,
            ..
        } => Request::Create {
            brick,
            gfid,
            name: Some("new".to_owned()),
            kind,
            size,
            import,
        },
        other => panic!("{other:?}"),
    };
    let created = server.call(request);
    server.waited_for(2, 1);
    server.service.stop();
    created.fault();
    assert!(server.lvm.state().lv(&name("new")).is_none());
    assert_eq!(server.job(2).state, JobState::Cancelled);
}

#[test]
fn an_image_may_go_meanwhile() {
    let server = Server::new();
    let gfid = server.image();
    let grown = server.call(server.resize(gfid, 64));
    server.waited_for(1, 1);
    server.pieces(1);
    server.order(1, JobOrder::Pause);
    let brick = server.id;
    is_done(server.ask(Request::Condemn { brick, gfid }));
    // Its brick waits for the call before it has the image removed.
    let fault = grown.fault();
    assert!(fault.message.ends_with("the image was removed"), "{fault}");
    is_done(server.ask(Request::Remove { brick, gfid }));
    assert_eq!(server.size(), None);
    assert_eq!(server.job(1).state, JobState::Cancelled);

    // And where nobody waits.
    let gfid = server.image();
    let caller = Arc::new(server.service.caller());
    let grown = server.call_as(&caller, server.resize(gfid, 64));
    server.waited_for(2, 1);
    server.order(2, JobOrder::Pause);
    server.service.left(&caller);
    grown.fault();
    is_done(server.ask(Request::Condemn { brick, gfid }));
    is_done(server.ask(Request::Remove { brick, gfid }));
    assert_eq!(server.size(), None);
    assert_eq!(server.job(2).state, JobState::Cancelled);
}

#[test]
fn it_goes_on_without_its_caller() {
    let server = Server::new();
    let gfid = server.image();
    let caller = Arc::new(server.service.caller());
    let grown = server.call_as(&caller, server.resize(gfid, 40));
    server.waited_for(1, 1);
    server.service.left(&caller);
    grown.fault();
    assert_eq!((server.size(), server.is_dirty()), (Some(40), true));
    // The next one finds it done, wholly or in part, or wants less.
    server.pieces(1);
    let grown = server.call(server.resize(gfid, 40));
    server.waited_for(1, 1);
    server.pieces(3);
    is_done(grown.reply());
    assert_eq!((server.size(), server.is_dirty()), (Some(40), false));
    let caller = Arc::new(server.service.caller());
    let grown = server.call_as(&caller, server.resize(gfid, 80));
    server.waited_for(2, 1);
    server.service.left(&caller);
    grown.fault();
    is_done(server.ask(server.resize(gfid, 44)));
    assert_eq!((server.size(), server.is_dirty()), (Some(44), false));
    server.pieces(1);
    assert_eq!(server.job(2).state, JobState::Done);
}
