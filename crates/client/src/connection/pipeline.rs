//! One connection without its socket: correlation ids, what is in flight, and the cutting of bytes into frames.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Why the peer's bytes cannot be answers of ours. The connection is then of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// Negative, too short for a header, or above the limit.
    #[error("frame of {size} bytes")]
    FrameSize { size: i64 },
    /// Kafka answers in order, so that anything else is an answer to somebody else's request.
    #[error("answer {found} where {expected:?} was due")]
    Order { expected: Option<i32>, found: i32 },
}

/// Requests in flight on one connection, oldest first, each with the token `T` of whoever waits for it.
///
/// ```text
/// begin(token) -> correlation id, to be sent in this order
/// next_answer(bytes) -> (token, frame) of each answer that is complete, in the same order
/// ```
#[derive(Debug)]
pub struct Pipeline<T> {
    next_id: i32,
    in_flight: VecDeque<(i32, T)>,
    /// Larger frames are refused before memory is taken for them.
    frame_bytes_max: usize,
}

impl<T> Pipeline<T> {
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { next_id: 0, in_flight: VecDeque::new(), frame_bytes_max }
    }

    /// Registers a request that will be sent after all that began before it.
    pub fn begin(&mut self, token: T) -> i32 {
        let id = self.begin_silent();
        self.expect(id, token);
        id
    }

    /// Registers whoever waits for a request that took its id last.
    pub fn expect(&mut self, id: i32, token: T) {
        self.in_flight.push_back((id, token));
    }

    /// The id of a request that is not answered (Produce with `acks=0`).
    pub fn begin_silent(&mut self) -> i32 {
        let id = self.next_id;
        // Ids need only differ among those in flight; negative ones would confuse readers of traces.
        self.next_id = id.checked_add(1).unwrap_or(0);
        id
    }

    /// Takes the next answer off the front of what was `received`, once it is complete: its token, and its bytes from
    /// the correlation id on.
    ///
    /// # Errors
    /// The bytes are no answer of ours.
    pub fn next_answer(&mut self, received: &mut BytesMut) -> Result<Option<(T, Bytes)>, PipelineError> {
        let Some(prefix) = received.first_chunk::<4>() else { return Ok(None) };
        let announced = i32::from_be_bytes(*prefix);
        let size = usize::try_from(announced).ok().filter(|size| (4..=self.frame_bytes_max).contains(size));
        let size = size.ok_or(PipelineError::FrameSize { size: announced.into() })?;
        if received.len() < 4 + size {
            return Ok(None);
        }
        received.advance(4);
        let frame = received.split_to(size).freeze();
        // The size is at least 4.
        let found = frame.first_chunk::<4>().map_or(-1, |id| i32::from_be_bytes(*id));
        match self.in_flight.pop_front() {
            Some((id, token)) if id == found => Ok(Some((token, frame))),
            other => Err(PipelineError::Order { expected: other.map(|(id, _)| id), found }),
        }
    }

    /// Everybody who still waits, oldest first.
    pub fn abandon(&mut self) -> impl Iterator<Item = T> {
        self.in_flight.drain(..).map(|(_, token)| token)
    }

    /// How many requests wait for their answers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: i32, body: &[u8]) -> Vec<u8> {
        let size = i32::try_from(4 + body.len()).unwrap();
        [&size.to_be_bytes(), &id.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn answers_come_whole_and_in_order() {
        let mut pipeline = Pipeline::new(100);
        let (a, b) = (pipeline.begin('a'), pipeline.begin('b'));
        let bytes = [frame(a, b"one"), frame(b, b"two")].concat();
        let mut answers = Vec::new();
        let mut received = BytesMut::new();
        for byte in bytes {
            received.extend_from_slice(&[byte]);
            while let Some((token, frame)) = pipeline.next_answer(&mut received).unwrap() {
                answers.push((token, frame.slice(4..)));
            }
        }
        assert_eq!(answers, [('a', Bytes::from("one")), ('b', Bytes::from("two"))]);
        assert_eq!(pipeline.in_flight(), 0);
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_it_is_received() {
        let mut pipeline = Pipeline::<()>::new(100);
        pipeline.begin(());
        let mut received = BytesMut::from(&101i32.to_be_bytes()[..]);
        assert_eq!(pipeline.next_answer(&mut received), Err(PipelineError::FrameSize { size: 101 }));
        let mut http = Pipeline::<()>::new(1 << 30);
        assert!(matches!(http.next_answer(&mut BytesMut::from("HTTP/1.1 400")), Err(PipelineError::FrameSize { .. })));
    }

    #[test]
    fn an_answer_out_of_order_is_refused() {
        let mut pipeline = Pipeline::new(100);
        let first = pipeline.begin(1);
        let second = pipeline.begin(2);
        let mut received = BytesMut::from(&frame(second, b"")[..]);
        assert_eq!(
            pipeline.next_answer(&mut received),
            Err(PipelineError::Order { expected: Some(first), found: second })
        );
        assert_eq!(pipeline.abandon().collect::<Vec<_>>(), [2]);
    }
}
