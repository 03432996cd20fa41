//! Frames on a tokio socket, with descriptors.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bd_proto::frame::{self, FrameError, HEADER};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// Why no further request can be read from a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection broke, or ended within a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A frame cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads the body of a frame; `None` at the end of the connection.
pub(crate) async fn receive(stream: &mut UnixStream) -> Result<Option<Vec<u8>>, WireError> {
    let mut header = [0; HEADER];
    if stream.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut header[1..]).await?;
    let mut body = vec![0; frame::body_len(header)?];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

/// Waits until the other side has closed a connection. Never ends while it has sent something that is
/// not received yet.
pub(crate) async fn closed(stream: &UnixStream) {
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        let peeked = stream.try_io(Interest::READABLE, || {
            let (len, _) = recv(stream.as_fd(), &mut [0; 1], RecvFlags::PEEK)?;
            Ok(len)
        });
        match peeked {
            Ok(0) => return,
            Ok(_) => std::future::pending().await,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => return,
        }
    }
}

/// Sends a frame, and a descriptor with its first byte.
pub(crate) async fn send(
    stream: &mut UnixStream,
    frame: &[u8],
    fd: Option<OwnedFd>,
) -> io::Result<()> {
    let mut rest = frame;
    if let Some(fd) = fd {
        let sent = loop {
            stream.writable().await?;
            let attempt = stream.try_io(Interest::WRITABLE, || {
                send_with(stream.as_fd(), frame, fd.as_fd())
            });
            match attempt {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                result => break result?,
            }
        };
        rest = &frame[sent..];
    }
    stream.write_all(rest).await
}

fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let bytes = [IoSlice::new(bytes)];
    Ok(sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)?)
}
