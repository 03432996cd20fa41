//! Length-prefixed JSON frames.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest frame either side takes, in bytes without the length itself.
pub const MAX: usize = 16 << 20;

/// Largest frame of a request, in bytes without the length itself: the images of one readdir are asked for
/// together.
pub const MAX_REQUEST: usize = 1 << 20;

/// Largest greeting, in bytes without the length itself.
pub const MAX_GREETING: usize = 4 << 10;

/// Bytes of the length in front of each frame.
pub const HEADER: usize = 4;

/// Why a frame cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is over what the receiver takes.
    #[error("frame of {0} bytes is larger than {1}")]
    TooLarge(usize, usize),
    /// The bytes are not a message of this version.
    #[error("malformed message: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// The frame of a message: its length and its JSON.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let len = frame.len() - HEADER;
    let header = u32::try_from(len)
        .ok()
        .filter(|_| len <= MAX)
        .ok_or(FrameError::TooLarge(len, MAX))?;
    frame[..HEADER].copy_from_slice(&header.to_le_bytes());
    Ok(frame)
}

/// How many bytes follow a header; no more than `most`.
pub fn body_len(header: [u8; HEADER], most: usize) -> Result<usize, FrameError> {
    let len = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if len > most {
        Err(FrameError::TooLarge(len, most))
    } else {
        Ok(len)
    }
}

/// The message in the bytes behind a header.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, FrameError> {
    Ok(serde_json::from_slice(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, Request};

    #[test]
    fn messages_round_trip() {
        let request = Request::Hello {
            version: 1,
            client: "test".into(),
        };
        let frame = encode(&request).unwrap();
        let (header, body) = frame.split_at(HEADER);
        let len = body_len(header.try_into().unwrap(), MAX_GREETING);
        assert_eq!(len.unwrap(), body.len());
        assert_eq!(decode::<Request>(body).unwrap(), request);
        let reply = encode(&Reply::Done).unwrap();
        assert_eq!(decode::<Reply>(&reply[HEADER..]).unwrap(), Reply::Done);
    }

    #[test]
    fn huge_and_malformed_frames_are_refused() {
        assert!(matches!(
            body_len(u32::MAX.to_le_bytes(), MAX),
            Err(FrameError::TooLarge(..))
        ));
        assert!(body_len(5_u32.to_le_bytes(), 4).is_err());
        for body in [
            "",
            "{",
            "{\"op\":\"no_such\"}",
            "{\"op\":\"space\",\"brick\":\"x\"}",
        ] {
            assert!(decode::<Request>(body.as_bytes()).is_err(), "{body}");
        }
    }
}
