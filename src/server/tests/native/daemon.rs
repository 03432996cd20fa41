//! gluster-bdd as a process: its socket, its wire, its start and its stop.

use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use bd_model::{Bytes, Gfid};
use bd_proto::{CallError, Client, ConnectError, CopyHow, Fault, FaultKind, Reply, Request, frame};

use super::bed;
use super::support::{brick, findings};
use rustix::process::Signal;

/// Sends raw bytes as a whole frame.
fn send(stream: &mut UnixStream, body: &[u8]) {
    let len = u32::try_from(body.len()).unwrap();
    stream.write_all(&len.to_le_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

fn receive(stream: &mut UnixStream) -> Option<Reply> {
    let mut header = [0; frame::HEADER];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; frame::body_len(header, frame::MAX).unwrap()];
    stream.read_exact(&mut body).unwrap();
    Some(frame::decode(&body).unwrap())
}

fn fault(reply: Option<Reply>) -> Fault {
    match reply {
        Some(Reply::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

fn refused(result: Result<Reply, CallError>) -> FaultKind {
    match result {
        Err(CallError::Fault(fault)) => fault.kind,
        other => panic!("{other:?}"),
    }
}

fn hello(version: u32) -> Vec<u8> {
    format!(r#"{{"op":"hello","version":{version},"client":"raw"}}"#).into_bytes()
}

#[test]
fn an_image_is_made_opened_and_removed_over_the_wire() {
    let bed = bed();
    let server = bed.start();
    let mut client = server.client();
    let made = brick(client.call(&bed.init()));
    let id = made.id;
    let gfid = Gfid::random();
    let request = bed.create(id, gfid, "vm1");
    assert_eq!(refused(client.call(&request)), FaultKind::NotAttached);
    let attached = brick(client.call(&bed.attach(true)));
    assert_eq!(attached.top, "store");
    assert!(attached.volume.is_some());
    client.call(&request).unwrap();
    bed.image("vm1", gfid);
    client.call(&Request::Commit { brick: id, gfid }).unwrap();

    let open = Request::Open { brick: id, gfid };
    let (reply, fd) = client.call_for_fd(&open).unwrap();
    let Reply::Opened(opened) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(opened.image.lv_size, Bytes(4 << 20));
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"over the wire", 0).unwrap();
    let bytes = std::fs::read(bed.path("store").join("vm1")).unwrap();
    assert!(bytes.starts_with(b"over the wire"));

    // Many more on the same connection: none leaves a descriptor behind in the server.
    for _ in 0..2000 {
        client.call_for_fd(&open).unwrap();
    }
    assert_eq!(findings(client.call(&bed.check())), []);
    client.call(&Request::Condemn { brick: id, gfid }).unwrap();
    bed.unlink("vm1", gfid);
    client.call(&Request::Remove { brick: id, gfid }).unwrap();
    assert_eq!(refused(client.call(&open)), FaultKind::NotFound);
    server.stop();
    assert!(!bed.path("sock").exists());
}

#[test]
fn bad_frames_are_answered_and_the_server_lives_on() {
    let bed = bed();
    let server = bed.start();
    let connect = || UnixStream::connect(bed.path("sock")).unwrap();
    let mode = std::fs::metadata(bed.path("sock")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);

    // A length that no frame has: the answer is a fault and the end.
    let mut huge = connect();
    huge.write_all(&u32::MAX.to_le_bytes()).unwrap();
    assert_eq!(fault(receive(&mut huge)).kind, FaultKind::Invalid);
    assert!(receive(&mut huge).is_none());

    let mut old = connect();
    send(&mut old, &hello(99));
    let message = fault(receive(&mut old));
    assert_eq!(message.kind, FaultKind::Version);
    assert!(message.message.contains("99"), "{message}");
    assert!(receive(&mut old).is_none());

    let mut rude = connect();
    let describe = br#"{"op":"describe_brick","dir":"/"}"#;
    send(&mut rude, describe);
    assert_eq!(fault(receive(&mut rude)).kind, FaultKind::Invalid);
    assert!(receive(&mut rude).is_none());

    // Malformed requests keep the framing, and so the connection.
    let mut odd = connect();
    send(&mut odd, &hello(bd_proto::VERSION));
    assert_eq!(receive(&mut odd), Some(Reply::Hello(bd_proto::VERSION)));
    for body in [
        &b"{"[..],
        b"",
        b"null",
        b"\xff\xfe",
        br#"{"op":"no_such"}"#,
        br#"{"op":"space","brick":"x"}"#,
        &hello(bd_proto::VERSION),
    ] {
        send(&mut odd, body);
        assert_eq!(fault(receive(&mut odd)).kind, FaultKind::Invalid);
    }
    send(&mut odd, describe);
    assert_eq!(fault(receive(&mut odd)).kind, FaultKind::NotFound);

    // Clients that hang in the middle of a frame, or leave there, block nobody.
    let mut hanging: Vec<UnixStream> = (0..50).map(|_| connect()).collect();
    for stream in &mut hanging {
        stream.write_all(&[7, 0]).unwrap();
    }
    hanging.truncate(25);
    drop(brick(server.client().call(&bed.init())));
    server.stop();
}

#[test]
fn clients_that_hang_keep_nobody_out() {
    let bed = bed();
    let server = bed.start();
    let id = brick(server.client().call(&bed.init())).id;
    let mut hung = Vec::new();
    for number in 0..100u32 {
        let mut stream = UnixStream::connect(bed.path("sock")).unwrap();
        let half = u32::try_from(frame::MAX).unwrap().to_le_bytes();
        match number % 4 {
            // Says nothing; half a length; the length of the largest request and its first byte.
            0 => {}
            1 => stream.write_all(&half[..2]).unwrap(),
            2 => stream.write_all(&[&half[..], b"{"].concat()).unwrap(),
            // Asks, and never reads an answer.
            _ => {
                send(&mut stream, &hello(bd_proto::VERSION));
                for _ in 0..20 {
                    send(&mut stream, br#"{"op":"usage"}"#);
                }
            }
        }
        hung.push(stream);
    }
    let mut client = server.client();
    brick(client.call(&bed.attach(true)));
    let gfid = Gfid::random();
    client.call(&bed.create(id, gfid, "vm1")).unwrap();
    let Reply::Usage(usage) = client.call(&Request::Usage).unwrap() else {
        panic!("no usage");
    };
    assert_eq!(usage.len(), 1);
    assert_eq!((usage[0].gfid, usage[0].io), (gfid, None));
    // It stops while they hang.
    server.stop();
    drop(hung);
}

#[test]
fn a_second_server_is_refused_and_a_stale_socket_replaced() {
    let bed = bed();
    let server = bed.start();
    for (socket, state, says) in [
        ("sock2", "state", "is locked by the process"),
        ("sock", "state2", "another server answers"),
    ] {
        let output = bed.command(socket, state).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(message.contains(says), "{message}");
    }

    server.signal(Signal::KILL);
    server.wait();
    assert!(bed.path("sock").exists());
    assert!(matches!(
        Client::connect(&bed.path("sock"), "test"),
        Err(ConnectError::Unreachable { .. })
    ));
    let server = bed.start();
    server.client();
    server.stop();
}

#[test]
fn a_stop_finishes_the_request_that_is_under_way() {
    let bed = bed();
    let server = bed.start();
    let mut client = server.client();
    let id = brick(client.call(&bed.init())).id;
    client.call(&bed.attach(true)).unwrap();
    let (source, dest) = (Gfid::random(), Gfid::random());
    client.call(&bed.create(id, source, "big")).unwrap();
    bed.image("big", source);
    client
        .call(&Request::Commit {
            brick: id,
            gfid: source,
        })
        .unwrap();
    let size = 256 << 20;
    client
        .call(&Request::Resize {
            brick: id,
            gfid: source,
            size: Bytes(size),
        })
        .unwrap();
    let block = vec![0xa5; 1 << 20];
    let file = std::fs::File::options()
        .write(true)
        .open(bed.path("store").join("big"))
        .unwrap();
    for at in (0..size).step_by(block.len()) {
        file.write_all_at(&block, at).unwrap();
    }

    let copy = Request::Copy {
        brick: id,
        source,
        dest,
        name: None,
        how: CopyHow::Clone,
        cow_size: None,
    };
    let intent = bed
        .path("brick/.glusterfs/gluster-bd/intents")
        .join(format!("{dest}.json"));
    let copying = std::thread::spawn(move || client.call(&copy));
    while !intent.exists() && !copying.is_finished() {
        std::thread::yield_now();
    }
    server.signal(Signal::TERM);
    let reply = copying.join().unwrap().unwrap();
    assert!(matches!(reply, Reply::Image(info) if info.lv_size == Bytes(size)));
    assert!(server.wait().success());
}

#[test]
fn many_clients_work_at_once() {
    let bed = bed();
    let server = bed.start();
    let id = brick(server.client().call(&bed.init())).id;
    server.client().call(&bed.attach(true)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (bed, server) = (&bed, &server);
            scope.spawn(move || {
                let mut client = server.client();
                for round in 0..20 {
                    let gfid = Gfid::random();
                    // Half of the names are wanted by several threads at once.
                    let name = format!("image{}", round + (thread % 2) * 100 * thread);
                    client.call(&bed.create(id, gfid, &name)).unwrap();
                    client.call(&Request::Abort { brick: id, gfid }).unwrap();
                    client.call(&bed.create(id, gfid, &name)).unwrap();
                    let file = format!("{thread}-{round}");
                    bed.image(&file, gfid);
                    client.call(&Request::Commit { brick: id, gfid }).unwrap();
                    if round % 2 == 0 {
                        client.call(&Request::Condemn { brick: id, gfid }).unwrap();
                        bed.unlink(&file, gfid);
                        client.call(&Request::Remove { brick: id, gfid }).unwrap();
                    }
                }
            });
        }
    });
    let mut client = server.client();
    assert_eq!(findings(client.call(&bed.check())), []);
    match client.call(&Request::List { brick: id }).unwrap() {
        Reply::Images(images) => assert_eq!(images.len(), 80),
        other => panic!("{other:?}"),
    }
    server.stop();
}
