//! The two generations of the API's paths. One set of handlers serves both; what differs stands here, and in the answers
//! to `POST`:
//!
//! | | `/snapshots` | `/instance/v1/zones/{zone}/snapshots` |
//! | --- | --- | --- |
//! | `zone` of what is answered | the configured one | the one in the path |
//! | who will own something | `organization` | `organization` or `project`: one stands for both |
//! | `POST` of a snapshot | 200 | 201 with `Location` |
//! | what is begun | the thing itself | with the task that works on it |
//! | a list without `page` | whole | page 1 |
//! | a snapshot is changed by | `PUT` | `PUT` and `PATCH` |

use actix_web::{
    Error, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use snapshot_domain::OrganizationId;

use super::{
    Api,
    error::ApiError,
    field::{self, Fields},
};

/// Where the paths of the present generation begin.
pub(super) const PREFIX: &str = "/instance/v1/zones/{zone}";

/// By which paths a request came.
#[derive(Clone, Debug)]
pub(super) enum Generation {
    /// The original document's, without a zone.
    Original {
        /// The zone that everything is said to be in.
        zone: String,
    },
    /// The provider's present ones.
    Zoned {
        /// The zone in the path.
        zone: String,
    },
}

impl Generation {
    /// The generation that a request is of.
    pub(super) fn of(api: &Api, request: &HttpRequest) -> Self {
        match request.match_info().get("zone") {
            None => Self::Original {
                zone: api.settings.zone.clone(),
            },
            Some(zone) => Self::Zoned { zone: zone.to_owned() },
        }
    }

    /// The zone that resources are said to be in.
    pub(super) fn zone(&self) -> &str {
        match self {
            Self::Original { zone } | Self::Zoned { zone } => zone,
        }
    }

    /// The path of a resource in this generation, which is `path` in the original one.
    pub(super) fn path(&self, path: &str) -> String {
        match self {
            Self::Original { .. } => path.to_owned(),
            Self::Zoned { zone } => PREFIX.replace("{zone}", zone) + path,
        }
    }

    /// Who a body says shall own something. `Some(None)` when it does not say, `None` when that is wrong, which is noted.
    #[expect(clippy::option_option, reason = "absent and wrong are two different things")]
    pub(super) fn owner(&self, fields: &mut Fields) -> Option<Option<OrganizationId>> {
        let organization = fields.optional("organization", field::organization);
        match self {
            Self::Original { .. } => organization,
            Self::Zoned { .. } => {
                let project = fields.optional("project", field::organization);
                match (organization?, project?) {
                    (Some(organization), Some(project)) if organization != project => {
                        fields.blame("project", "must be the same as organization");
                        None
                    }
                    (organization, project) => Some(organization.or(project)),
                }
            }
        }
    }

    /// Who a body says shall own something, where it has to say so. `None` when it does not, which is noted.
    pub(super) fn required_owner(&self, fields: &mut Fields) -> Option<OrganizationId> {
        match self {
            Self::Original { .. } => fields.required("organization", field::organization),
            Self::Zoned { .. } => {
                let owner = self.owner(fields)?;
                if owner.is_none() {
                    fields.blame("organization", "required key not provided, unless project is");
                }
                owner
            }
        }
    }
}

/// Lets through what is asked for in a zone that there is.
pub(super) async fn only_zones_that_there_are(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let zone = request.match_info().query("zone");
    let api = request.app_data::<Data<Api>>();
    let zones = &api.expect("the app is built with an Api").settings.zones;
    let is_there = if zones.is_empty() {
        is_zone(zone)
    } else {
        zones.iter().any(|known| known == zone)
    };
    if is_there {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let path = request.path().to_owned();
    let (request, _) = request.into_parts();
    Ok(ServiceResponse::from_err(ApiError::NoSuchRoute { path }, request).map_into_right_body())
}

/// Whether this could be a zone's name. It is repeated in links, so nothing else may get there.
fn is_zone(name: &str) -> bool {
    const MOST_CHARS: usize = 63;
    (1..=MOST_CHARS).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
