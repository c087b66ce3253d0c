//! What holds after every turn, after the storm, and when everybody has left.

use std::collections::BTreeSet;

use fortifun_realtime::ids::UserId;
use fortifun_realtime::shard::slot::Role;

use crate::faults::Mix;
use crate::scene::Scene;
use crate::server::Turner;
use crate::store::open;
use crate::world::World;

/// A close frame at most, and the frame that was leaving when it was queued.
const LAST_FRAME_BYTES: usize = 4 + 125;

/// After every turn: every queue is within its bound.
pub(crate) fn bounds(mix: &Mix, scene: &Scene, turner: &mut Turner) {
    for (key, line) in turner.shard.lines_mut() {
        let waits = line.conn.outbound().len();
        let is_over = match line.role {
            Role::Session(_) | Role::Echo => waits > mix.hard_bytes + LAST_FRAME_BYTES,
            Role::Http | Role::Knocking { .. } | Role::Ended => waits > mix.hard_bytes + 1_000_000,
        };
        scene.check(!is_over, || format!("{key:?} holds {waits} bytes"));
    }
}

/// After the storm: nothing waits anywhere, and everybody has what is theirs.
pub(crate) fn settled(world: &mut World) {
    let World { scene, server, devices, .. } = &mut *world;
    scene.check(server.is_quiet(), || "something is still on its way".to_owned());
    for (number, turner) in server.shards.iter_mut().flatten().enumerate() {
        let core = turner.shard.core();
        let is_idle = !core.is_waiting() && core.dirty.is_empty() && core.hungry.is_empty();
        scene.check(is_idle, || format!("shard {number} is not idle"));
        for (key, line) in turner.shard.lines_mut() {
            let is_at_rest = line.is_at_rest() && !line.flags.stalled && !line.flags.unread;
            let is_whole = !matches!(line.role, Role::Session(_)) || is_at_rest;
            scene.check(is_whole, || format!("shard {number}, {key:?} is not at rest: {line:?}"));
        }
    }
    for device in devices.iter() {
        device.check_owed(scene);
    }
    world.callers().for_each(|caller| caller.check_owed(&world.scene));
    stored(&world.scene);
    presence(world);
}

/// What clients were told is what is stored, and each `client_id` once.
fn stored(scene: &Scene) {
    let spoken = open(&scene.log).spoken_through;
    scene.check(spoken == 0, || format!("{spoken} messages were stored in spite of a block"));
    for conversation in scene.memory.conversations() {
        let mut known = BTreeSet::new();
        for (index, message) in scene.memory.messages(conversation).iter().enumerate() {
            let is_next = message.seq.0 == index as i64 + 1;
            scene.check(is_next, || format!("a hole before {message:?}"));
            if let Some(client_id) = &message.client_id {
                let is_new = known.insert((message.sender.id, client_id.clone()));
                scene.check(is_new, || format!("stored twice: {message:?}"));
            }
            let place = (conversation.0, message.seq.0);
            if let Some((id, sender, client_id, content)) = scene.told.borrow().get(&place) {
                let is_same = *id == message.id.0
                    && *sender == message.sender.id.0
                    && *client_id == message.client_id
                    && *content == message.content;
                scene.check(is_same, || format!("told otherwise than stored: {message:?}"));
            }
        }
        let count = scene.memory.messages(conversation).len() as i64;
        let told = scene.told.borrow();
        let beyond = told.range((conversation.0, count + 1)..(conversation.0 + 1, 0)).next();
        scene.check(beyond.is_none(), || format!("told and not stored: {beyond:?}"));
    }
    for ((conversation, seq), id, client_id) in scene.acknowledged.borrow().iter() {
        let conversation = fortifun_realtime::ids::ConversationId(*conversation);
        let messages = scene.memory.messages(conversation);
        let message = usize::try_from(*seq - 1).ok().and_then(|at| messages.get(at));
        let is_stored = message
            .is_some_and(|message| Some(message.id.0) == *id && message.client_id == *client_id);
        scene.check(is_stored, || format!("acknowledged and not stored: {conversation:?} {seq}"));
    }
}

/// Who is here is online in the store, and nobody else.
fn presence(world: &World) {
    let log = open(&world.scene.log);
    for user in (1..=world.scene.users).map(UserId) {
        let is_here = world.server.node.directory.is_online(user);
        let is_online = log.is_online.get(&user).copied().unwrap_or(false);
        world.scene.check(is_here == is_online, || {
            format!("{user:?} is here: {is_here}; in the store: {is_online}")
        });
    }
}

/// A moment after everybody left: no connection, no group, no timer.
pub(crate) fn deserted(world: &mut World) {
    let World { scene, server, .. } = world;
    for (number, turner) in server.shards.iter_mut().flatten().enumerate() {
        let left: Vec<String> =
            turner.shard.lines_mut().map(|(key, line)| format!("{key:?} {line:?}")).collect();
        scene.check(left.is_empty(), || format!("shard {number} still has {left:#?}"));
        let core = turner.shard.core();
        scene.check(core.groups.is_empty(), || format!("shard {number} has groups"));
        let timer = core.wheel.until_next(turner.shard.now().mono);
        scene.check(timer.is_none(), || format!("shard {number} has a timer"));
        let is_idle = core.dirty.is_empty()
            && core.hungry.is_empty()
            && core.doomed.is_empty()
            && core.stalled.is_empty();
        scene.check(is_idle, || format!("shard {number} is not idle"));
    }
    let groups = server.layer.groups();
    scene.check(groups == 0, || format!("the registry has {groups} groups"));
    let live = scene.net.borrow().live();
    scene.check(live == 0, || format!("{live} sockets are not freed"));
}

/// After the grace: nobody is remembered, and all are offline.
pub(crate) fn forgotten(world: &mut World) {
    let World { scene, server, mix, .. } = &mut *world;
    let here = server.node.directory.len();
    scene.check(here == 0, || format!("{here} users are remembered"));
    let is_given_back = server.has_no_open_address(mix, scene.users);
    scene.check(is_given_back, || "an address is counted as connected".to_owned());
    presence(world);
}
