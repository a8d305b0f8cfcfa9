//! Where a verb works: on this machine's state directory, or on a gateway that a server's address or a context file names.

use super::{Context, installation::Installation, remote::Remote};
use crate::{admin::Site, audit::Audit};

pub(super) enum Place {
    Here(Box<Here>),
    Server(Remote),
}

pub(super) struct Here {
    pub(super) installation: Installation,
    pub(super) site: Site,
}

impl Place {
    pub(super) async fn find(context: &Context) -> anyhow::Result<Self> {
        match Remote::find(context).await? {
            Some(remote) => Ok(Self::Server(remote)),
            None => Self::here(context).await,
        }
    }

    pub(super) async fn here(context: &Context) -> anyhow::Result<Self> {
        let installation = Installation::find(context)?;
        let site = installation.site().await?;
        Ok(Self::Here(Box::new(Here { installation, site })))
    }
}

impl Here {
    /// The log, with what waited for the database carried over.
    pub(super) async fn audit(&self) -> anyhow::Result<Audit> {
        self.installation.audit_on(self.site.store()?.clone()).await
    }

    /// What was done is signed soon; a gateway does that by itself. Entries that waited for the database are carried over.
    pub(super) async fn sign(&self) -> anyhow::Result<()> {
        let audit = self.installation.audit().await?;
        self.installation.sign(&audit).await;
        Ok(())
    }
}
