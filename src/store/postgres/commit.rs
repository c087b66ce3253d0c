//! A batch carried out: the steps of `batch`, in one transaction.
//!
//! A batch that is one step is one statement that commits by itself: one round trip. Any other locks the conversations that it
//! names, by id, and then the users who come or go, in the round trip of its `BEGIN`, and ends with `COMMIT`; where it concerns
//! pairs of users, `locks` says what comes first.

use super::batch::{self, Step};
use super::session::Session;
use super::{append, locks, presence, receipts, requests};
use crate::store::{Failure, Outcome, Request, StoreError};
use crate::time::Timestamp;

/// Carries out `batch`; see [`crate::store::Store::commit`]. After an error the session is to be recovered.
pub(super) fn commit(
    session: &mut Session,
    batch: &[Request],
    now: Timestamp,
) -> Result<Vec<Outcome>, StoreError> {
    let steps = batch::plan(batch);
    let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
    let is_one_statement = match steps.as_slice() {
        [] | [Step::Appends(_) | Step::Receipts(_)] => true,
        [Step::Presence(places)] => !presence::needs_locks(batch, places),
        _ => false,
    };
    if is_one_statement {
        for step in &steps {
            carry_out(session, batch, step, now, &mut outcomes)?;
        }
    } else {
        if locks::pairs(batch).is_empty() {
            session.begin(&locks::script(batch))?;
        } else {
            session.begin("")?;
            locks::lock(session, batch)?;
        }
        for step in &steps {
            carry_out(session, batch, step, now, &mut outcomes)?;
        }
        session.commit()?;
    }
    Ok(outcomes.into_iter().map(|outcome| outcome.expect("each place is in one step")).collect())
}

fn carry_out(
    session: &mut Session,
    batch: &[Request],
    step: &Step,
    now: Timestamp,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), StoreError> {
    match step {
        Step::Appends(places) => append::append(session, batch, places, now, outcomes),
        Step::Receipts(places) => receipts::mark_read(session, batch, places, now, outcomes),
        Step::Presence(places) => presence::set(session, batch, places, now, outcomes),
        Step::Alone(place) => match requests::carry_out(session, &batch[*place], now) {
            Err(Failure::Store(error)) => Err(error),
            outcome => {
                outcomes[*place] = Some(outcome);
                Ok(())
            }
        },
    }
}
