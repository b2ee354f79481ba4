//! What became of targets: for people, for programs, and as an exit code.

use serde_json::{Value, json};
use spacktainers::publish::release::ReleaseReceipt;
use spacktainers::publish::{PublishError, Receipt};

use super::release::receipt_json;
use crate::exit::Exit;
use crate::printer::{self, bytes};

/// What became of the targets.
pub(super) enum Outcomes {
    /// Each on its own.
    Each(Vec<Result<Receipt, PublishError>>),
    /// All of them, as one release.
    All(Vec<ReleaseReceipt>),
}

impl Outcomes {
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<&Receipt, &PublishError>> {
        let (each, all): (&[_], &[_]) = match self {
            Self::Each(each) => (each, &[]),
            Self::All(all) => (&[], all),
        };
        let all = all.iter().map(|it| Ok(&it.receipt));
        each.iter().map(Result::as_ref).chain(all)
    }

    pub(super) fn exit(&self) -> Exit {
        self.iter().map(outcome_exit).max().unwrap_or(Exit::Done)
    }

    pub(super) fn to_json(&self) -> Vec<Value> {
        match self {
            Self::Each(each) => each.iter().map(outcome_json).collect(),
            Self::All(all) => all.iter().map(receipt_json).collect(),
        }
    }
}

pub(super) fn outcome_exit(outcome: Result<&Receipt, &PublishError>) -> Exit {
    match outcome {
        Ok(_) => Exit::Done,
        Err(error) if error.is_verification() => Exit::Unverified,
        Err(PublishError::Zstd(_)) => Exit::Usage,
        Err(_) => Exit::Refused,
    }
}

pub(super) fn receipt_line(receipt: &Receipt) -> String {
    if receipt.unchanged {
        return format!("{}: has it already", receipt.target);
    }
    let mounted = match receipt.blobs_mounted {
        0 => String::new(),
        count => format!(", {count} of them mounted"),
    };
    if let Some(tree) = &receipt.tree {
        let (sent, there) = (bytes(receipt.bytes_sent), bytes(receipt.bytes_reused));
        return match receipt.bytes_reused {
            0 => format!("{}: {sent}, tree {tree}", receipt.target),
            _ => format!(
                "{}: {sent}, {there} were there, tree {tree}",
                receipt.target
            ),
        };
    }
    format!(
        "{}: sent {} in {} blobs; {} in {} blobs were there{mounted}",
        receipt.target,
        bytes(receipt.bytes_sent),
        receipt.blobs_sent,
        bytes(receipt.bytes_reused),
        receipt.blobs_reused + receipt.blobs_mounted,
    )
}

pub(super) fn outcome_json(outcome: &Result<Receipt, PublishError>) -> Value {
    match outcome {
        Ok(receipt) => json!({
            "target": receipt.target.to_string(),
            "digest": receipt.digest.map(|it| it.to_string()),
            "sent": receipt.bytes_sent,
            "reused": receipt.bytes_reused,
            "blobs_sent": receipt.blobs_sent,
            "blobs_mounted": receipt.blobs_mounted,
            "blobs_reused": receipt.blobs_reused,
            "tree": receipt.tree.map(|it| it.to_string()),
            "unchanged": receipt.unchanged,
        }),
        Err(error) => json!({"error": chain(error)}),
    }
}

pub(super) fn report_target(error: &PublishError) {
    printer::err(&format!("error: {}", chain(error).join(": ")));
}

fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts
}
