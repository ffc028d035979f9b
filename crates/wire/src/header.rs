//! The headers before each request and response.

use crate::codec::Sink;
use crate::{ApiKey, DecodeError, EncodeError, Reader, Str, Writer};

/// What precedes every request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestHeader {
    /// As received: it need not be one of [`ApiKey`].
    pub api_key: i16,
    /// As received: it need not be a version that is known.
    pub api_version: i16,
    /// Returned in the response.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<Str>,
}

impl RequestHeader {
    /// Reads the header off the start of a frame and leaves the body in `reader`.
    ///
    /// An unknown key is no error here; what follows it cannot be read, as its header version is unknown too. A version
    /// that is too high is no error either: Kafka reads such headers by the highest version it knows, so that it can
    /// answer an ApiVersions request from a newer client (KIP-511).
    ///
    /// # Errors
    /// The bytes end early, or the client id is not a string.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let api_key = reader.i16()?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let version = ApiKey::from_code(api_key).map_or(1, |key| key.request_header_version(api_version));
        if version == 0 {
            return Ok(Self { api_key, api_version, correlation_id, client_id: None });
        }
        // Even the flexible header has the client id with a plain length, so that brokers of any age can read it.
        let client_id = match reader.text_len(false)? {
            Some(len) => Some(reader.text(len)?),
            None => None,
        };
        if version == 2 {
            reader.tagged(|_, _| Ok(false))?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// The API, unless its key is unknown.
    #[must_use]
    pub fn api(&self) -> Option<ApiKey> {
        ApiKey::from_code(self.api_key)
    }

    /// Appends the header in `header_version` 0 without the client id, 1, or 2 with no tagged fields.
    pub(crate) fn write<S: Sink>(&self, sink: &mut S, header_version: i16) -> Result<(), EncodeError> {
        sink.put(&self.api_key.to_be_bytes());
        sink.put(&self.api_version.to_be_bytes());
        sink.put(&self.correlation_id.to_be_bytes());
        if header_version == 0 {
            return Ok(());
        }
        sink.put_text_len(self.client_id.as_ref().map(|id| id.len()), false)?;
        if let Some(id) = &self.client_id {
            sink.put(id.as_bytes());
        }
        if header_version == 2 {
            sink.put_uvarint(0);
        }
        Ok(())
    }

    /// Appends the header as requests of its API and version have it.
    ///
    /// # Errors
    /// The client id is too long, or the key is not declared here.
    pub fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = self.api().map_or(1, |key| key.request_header_version(self.api_version));
        self.write(writer, version)
    }
}

/// What precedes every response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseHeader {
    /// Of the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header off the start of a frame. `header_version` is that of
    /// [`ApiKey::response_header_version`].
    ///
    /// # Errors
    /// The bytes end early.
    pub fn decode(reader: &mut Reader<'_>, header_version: i16) -> Result<Self, DecodeError> {
        let correlation_id = reader.i32()?;
        if header_version == 1 {
            reader.tagged(|_, _| Ok(false))?;
        }
        Ok(Self { correlation_id })
    }

    pub(crate) fn write<S: Sink>(self, sink: &mut S, header_version: i16) {
        sink.put(&self.correlation_id.to_be_bytes());
        if header_version == 1 {
            sink.put_uvarint(0);
        }
    }
}
