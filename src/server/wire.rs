//! Frames on a tokio socket, with descriptors.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

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

/// How long the rest of a frame may take when its first byte is there.
const REST_WITHIN: Duration = Duration::from_secs(30);

/// Reads the body of a frame, of so many bytes at most; `None` at the end of the connection.
pub(crate) async fn receive(
    stream: &mut UnixStream,
    most: usize,
) -> Result<Option<Vec<u8>>, WireError> {
    let mut header = [0; HEADER];
    if stream.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    let rest = async {
        stream.read_exact(&mut header[1..]).await?;
        let len = frame::body_len(header, most)?;
        // Memory is taken as the bytes come.
        let mut body = Vec::new();
        stream.take(len as u64).read_to_end(&mut body).await?;
        match body.len() == len {
            true => Ok(Some(body)),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    };
    let received = tokio::time::timeout(REST_WITHIN, rest).await;
    received.map_err(io::Error::from)?
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(bytes: &[u8], most: usize) -> Result<Option<Vec<u8>>, WireError> {
        let (mut client, mut server) = UnixStream::pair().unwrap();
        client.write_all(bytes).await.unwrap();
        receive(&mut server, most).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_stops_in_the_middle_is_not_waited_for() {
        for part in [&[5, 0][..], &[5, 0, 0, 0, b'a']] {
            let error = said(part, 8).await.unwrap_err();
            let WireError::Io(error) = error else {
                panic!("{error}");
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{part:?}");
        }
        let whole = said(&[2, 0, 0, 0, b'a', b'b', b'c'], 2).await.unwrap();
        assert_eq!(whole.unwrap(), b"ab");
        let large = said(&[3, 0, 0, 0], 2).await;
        assert!(matches!(large, Err(WireError::Frame(_))));
    }
}
