//! `backstop audit`: the audit log, read, exported, verified and proven.

mod evidence;
mod records;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};

use super::{Context, installation::Installation, place::Place};

/// The audit log: list, show, export, verify, prove.
///
/// Every governance act is one entry of an append-only Merkle log (RFC 6962) whose signed checkpoints are published off this host
/// (`audit: { publish: … }` in the config). docs/audit.md has the formats and says what is detected and what is not.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
enum AuditVerb {
    /// The latest entries, the newest first
    List(ListArgs),
    /// One entry: what was done, by whom, and its exact bytes
    Show {
        /// Its number
        seq: u64,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// The whole log as one file that anyone with the public key can verify offline
    ///
    /// JSON lines: a header with the public key, one line an entry with its exact bytes, and a checkpoint signed now. Names and other
    /// values of persons stay out unless asked for; asking for them is itself an entry.
    Export {
        /// [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// With names, hosts and other values of persons that were not forgotten
        #[arg(long)]
        personal: bool,
    },
    /// Whether the log is whole; exit code 1 with what is wrong, and at which entry
    ///
    /// Without --export the log in the database is read: every entry, every stored hash, every column, and the last checkpoint that was
    /// signed here. With --export nothing but that file and the key is used. A checkpoint that was published off the host is what proves
    /// that nothing before it was rewritten: give it with --checkpoint.
    Verify {
        /// An export instead of the database
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// The public key, or a file with it [default: this installation's own, which proves nothing against whoever holds this host]
        #[arg(long, value_name = "KEY")]
        public_key: Option<String>,
        /// A checkpoint that was published before; can be given several times
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// A witness's public key, NAME+HASH+KEY: each of the given checkpoints must have its cosignature
        #[arg(long, value_name = "KEY", requires = "checkpoint")]
        witness: Vec<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// A proof that one entry is in the log, or that the log extends an older one
    ///
    /// For SEQ a transparency log proof (c2sp.org/tlog-proof): the path from the entry to the root, and a checkpoint signed now. With
    /// --from a consistency proof in the form that witnesses take (c2sp.org/tlog-witness, add-checkpoint). Both can be verified with the
    /// public key alone.
    #[command(group = clap::ArgGroup::new("what").args(["seq", "from"]).required(true).multiple(true))]
    Prove {
        /// The entry's number
        seq: Option<u64>,
        /// How many entries the older log had
        #[arg(long, value_name = "SIZE")]
        from: Option<u64>,
    },
    /// Print the public key that the log's checkpoints are verified with
    Key,
    /// Erase what the log knows of a person; it still verifies, and says that something was erased
    ///
    /// Erased are all values that are exactly VALUE (a user's name, say), and what stands beside them in the same entries (the host).
    /// Exports, copies of the database and other tables are not touched.
    Forget {
        /// A name, a mail address, an IP
        value: String,
        /// Why: kept in the log for ever, so it must not name the person
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only this action, e.g. `key.issue`, or all of a kind, e.g. `key`
    #[arg(long)]
    action: Option<String>,
    /// Only acts of whoever has this name, is on this host or of this kind (`os_user`, `gateway`)
    #[arg(long)]
    actor: Option<String>,
    /// Only acts on this, by its name or as `kind:name`
    #[arg(long)]
    object: Option<String>,
    /// Only the last so much time, e.g. 24h or 7d
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    since: Option<Duration>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: AuditArgs) -> anyhow::Result<ExitCode> {
    // What is verified offline needs no installation of its own, nor a config that can be read.
    if let AuditVerb::Verify { export: Some(export), public_key: Some(key), checkpoint, witness, json } = &args.verb {
        return evidence::verify_export(export, key, (checkpoint, witness), *json);
    }
    if let AuditVerb::Verify { export, public_key, checkpoint, witness, json } = args.verb {
        context.is_here("the log is verified where it lies; `audit export` takes it with you, and `audit verify --export FILE --public-key KEY` needs no server")?;
        let installation = Installation::find(context)?;
        let by = (&checkpoint[..], &witness[..]);
        return match export {
            Some(export) => {
                let key = evidence::own_key(&installation)?.to_string();
                evidence::verify_export(&export, &key, by, json)
            }
            None => evidence::verify(&installation, public_key.as_deref(), by, json).await,
        };
    }
    let place = Place::find(context).await?;
    match args.verb {
        AuditVerb::List(args) => records::list(&place, args).await,
        AuditVerb::Show { seq, json } => records::show(&place, seq, json).await,
        AuditVerb::Export { out, personal } => evidence::export(&place, out.as_deref(), personal).await,
        AuditVerb::Prove { seq, from } => evidence::prove(&place, seq, from).await,
        AuditVerb::Key => evidence::key(&place).await,
        AuditVerb::Forget { value, reason } => records::forget(&place, value, reason).await,
        AuditVerb::Verify { .. } => Ok(ExitCode::SUCCESS),
    }
}
