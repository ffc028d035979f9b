//! Which version of each API both sides know.

use std::collections::HashMap;

use whimbrel_wire::spec::Versions;
use whimbrel_wire::{ApiKey, ApiVersionsResponse, Request};

/// The versions that a broker serves.
#[derive(Debug, Clone, Default)]
pub struct BrokerVersions(HashMap<i16, Versions>);

/// Above these, requests name topics by id only, or mean what this client has no use for.
const HIGHEST_USED: &[(ApiKey, i16)] =
    &[(ApiKey::Produce, 12), (ApiKey::Fetch, 12), (ApiKey::OffsetCommit, 9), (ApiKey::OffsetFetch, 9)];

impl From<&ApiVersionsResponse> for BrokerVersions {
    fn from(response: &ApiVersionsResponse) -> Self {
        let versions =
            |api: &whimbrel_wire::api_versions::ApiVersion| Versions { low: api.min_version, high: api.max_version };
        Self(response.api_keys.iter().map(|api| (api.api_key, versions(api))).collect())
    }
}

impl BrokerVersions {
    /// What the broker serves of an API; `None` when it does not serve it at all.
    #[must_use]
    pub fn served(&self, key: ApiKey) -> Option<Versions> {
        self.0.get(&key.code()).copied()
    }

    /// The versions of `R` that this client uses.
    #[must_use]
    pub fn used<R: Request>() -> Versions {
        let Versions { low, high } = R::KEY.api().versions;
        let highest = HIGHEST_USED.iter().find(|(key, _)| *key == R::KEY).map_or(high, |(_, highest)| *highest);
        Versions { low, high: high.min(highest) }
    }

    /// The highest version of `R` that both know.
    #[must_use]
    pub fn best<R: Request>(&self) -> Option<i16> {
        let (used, served) = (Self::used::<R>(), self.served(R::KEY)?);
        let best = used.high.min(served.high);
        (used.low.max(served.low) <= best).then_some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_wire::{FetchRequest, ListGroupsRequest};

    #[test]
    fn the_highest_common_version_is_used() {
        let serves = |low, high| BrokerVersions([(1, Versions { low, high })].into());
        assert_eq!(serves(0, 5).best::<FetchRequest>(), Some(5));
        assert_eq!(serves(4, 18).best::<FetchRequest>(), Some(12));
        assert_eq!(serves(13, 18).best::<FetchRequest>(), None);
        assert_eq!(serves(0, 5).best::<ListGroupsRequest>(), None);
    }
}
