//! ApiVersions, versions 0 to 4: which APIs this broker serves (KIP-35, KIP-511, KIP-584).

use whimbrel_model::ErrorCode;
use whimbrel_wire::api_versions::ApiVersion;
use whimbrel_wire::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, WHIMBREL_KEYS_MIN};

use super::{RequestContext, SERVED};

pub async fn handle(_context: &RequestContext, request: ApiVersionsRequest, version: i16) -> ApiVersionsResponse {
    let names_are_valid =
        is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version);
    if version >= 3 && !names_are_valid {
        return ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    }
    // Requests of our own are told only to those who say that they are of our kind (docs/adr/0007).
    let is_ours = request.client_software_name.as_str() == "whimbrel";
    let told = SERVED.iter().filter(|(api, _)| is_ours || api.code() < WHIMBREL_KEYS_MIN);
    let mut api_keys: Vec<ApiVersion> = told.map(|(api, versions)| entry(*api, *versions.end())).collect();
    api_keys.sort_unstable_by_key(|api| api.api_key);
    ApiVersionsResponse { api_keys, ..Default::default() }
}

/// The answer to a version that is too high: it names the versions of this API alone, in version 0, which every client
/// can read (KIP-511).
pub fn unsupported() -> ApiVersionsResponse {
    let high = super::served_versions(ApiKey::ApiVersions).map_or(0, |versions| *versions.end());
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![entry(ApiKey::ApiVersions, high)],
        ..Default::default()
    }
}

fn entry(api: ApiKey, max_version: i16) -> ApiVersion {
    let low = super::served_versions(api).map_or(0, |versions| *versions.start());
    // See `produce`: versions below the first that is served are advertised all the same.
    let min_version = if api == ApiKey::Produce { 0 } else { low };
    ApiVersion { api_key: api.code(), min_version, max_version }
}

/// Letters and digits at both ends; also `-` and `.` between (KIP-511).
fn is_software_name(text: &str) -> bool {
    let text = text.as_bytes();
    let ends = [text.first(), text.last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && text.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.'))
}
