//! What operators are shown, one type for the command line and the API: so both say the same, and the document of the API is derived
//! from what is sent.

mod alerts;
mod audit;
mod calls;
mod certificates;
mod doubts;
mod drills;
mod evacuations;
mod explained;
mod incidents;
mod keys;
mod login;
mod releases;
mod rerated;
mod shares;
mod tenants;
mod tokens;
mod usage;

pub use alerts::{AlertsView, LaneView};
pub use audit::{EntryShown, EntryView, entries};
pub use calls::{CallView, EndingView};
pub use certificates::{CertificateView, RevokedView, certificates};
pub use doubts::{Doubt, DoubtSums, DoubtView, DoubtsView};
pub use drills::{DrillBegun, DrillOn, DrillStopped, DrillView, DrillsView, RouteDrilled};
pub use evacuations::{EvacuationView, LeavingView, RouteLeaving};
pub use explained::{Explained, ExplainedView, LatencyView};
pub use incidents::IncidentView;
pub use keys::{KeyView, keys};
pub use login::{LoginView, login};
pub use releases::{
    CanaryEnded, CardView, DiffView, DoneView, PaperView, PricedTarget, Proposed, ReleasesView, RenewalView, RolledBack,
};
pub use rerated::{RerateSums, RerateView};
pub use shares::{OverrideView, SharesView};
pub use tenants::{TenantView, tenant};
pub use tokens::{TokenView, tokens};
pub use usage::{UsageView, usage};
