//! A copy: a task that is claimed, and the session that fills the snapshot.

use crate::world::{Rules, Set, Show, World, only, pack_of_copy};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Copier {
    phase: Phase,
    /// Whether the task's row says that it runs.
    pub(crate) has_row: bool,
    /// Whether the process knows of the session.
    pub(crate) has_session: bool,
    has_parent: bool,
    distrusts: Set,
    attempt: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Phase {
    #[default]
    Waiting,
    Claimed,
    /// Its parent was opened, if it has one that is there.
    Opened,
    /// The first of two steps, session and distrust, is done.
    Begun,
    DistrustRead,
    Storing,
    Recorded,
    /// The chunk is where it counts on it.
    Filled,
    Ended,
}

impl Copier {
    pub(crate) fn crash(&mut self) {
        if self.phase != Phase::Waiting && self.phase != Phase::Ended {
            *self = Self {
                attempt: self.attempt + 1,
                ..Self::default()
            };
        }
    }

    fn to(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }
}

impl World {
    pub(crate) fn copy_steps(&self, number: usize, rules: &Rules, show: &mut Show<'_>) {
        let copy = self.copies[number];
        let snapshot = only(1 + number);
        let pack = pack_of_copy(number, copy.attempt);
        let mut step = |name, after: Copier, change: &dyn Fn(&mut Self)| {
            let mut world = *self;
            world.copies[number] = after;
            change(&mut world);
            show(name, world);
        };
        let distrusted = self.condemned | self.dropped;
        let open_session = |copy: Copier| Copier {
            has_session: true,
            ..copy
        };
        let read_distrust = |copy: Copier| Copier {
            distrusts: distrusted,
            ..copy
        };
        match copy.phase {
            Phase::Waiting if (self.manifests | self.deleted) & snapshot != 0 => {
                step("a copy finds itself made", copy.to(Phase::Ended), &|_| ());
            }
            Phase::Waiting => {
                let claimed = Copier { has_row: true, ..copy };
                let phase = if number == 0 { Phase::Claimed } else { Phase::Opened };
                step("a copy is claimed", claimed.to(phase), &|_| ());
            }
            Phase::Claimed => {
                let has_parent = self.manifests & only(0) != 0;
                step(
                    "it opens its parent",
                    Copier { has_parent, ..copy }.to(Phase::Opened),
                    &|_| (),
                );
            }
            Phase::Opened if rules.session_opens_first => {
                step("it begins its session", open_session(copy).to(Phase::Begun), &|_| ());
            }
            Phase::Opened => step("it reads the distrust", read_distrust(copy).to(Phase::Begun), &|_| ()),
            Phase::Begun if rules.session_opens_first => {
                step(
                    "it reads the distrust",
                    read_distrust(copy).to(Phase::DistrustRead),
                    &|_| (),
                );
            }
            Phase::Begun => step(
                "it begins its session",
                open_session(copy).to(Phase::DistrustRead),
                &|_| (),
            ),
            Phase::DistrustRead if copy.has_parent => {
                let is_there = !rules.parent_is_looked_for_again || self.manifests & only(0) != 0;
                let nothing_is_distrusted = !rules.copies_distrust_parents || copy.distrusts == 0;
                let without_parent = Copier {
                    has_parent: false,
                    ..copy
                };
                if is_there && nothing_is_distrusted {
                    let filled = Copier {
                        distrusts: 0,
                        ..without_parent
                    };
                    step("it counts on its parent", filled.to(Phase::Filled), &|_| ());
                } else {
                    step("it does not count on its parent", without_parent, &|_| ());
                }
            }
            Phase::DistrustRead => {
                let counts = |pack: u8| !rules.copies_distrust_packs || copy.distrusts & only(pack.into()) == 0;
                let decided = Copier { distrusts: 0, ..copy };
                if self.location.is_some_and(counts) {
                    step("it counts on what is stored", decided.to(Phase::Filled), &|_| ());
                } else {
                    step("it must store its chunk", decided.to(Phase::Storing), &|_| ());
                }
            }
            // What is stored and not recorded nobody sees; the next start takes it in like what is recorded.
            Phase::Storing => step("its pack is stored and recorded", copy.to(Phase::Recorded), &|world| {
                world.objects |= only(pack);
                world.kept |= only(pack);
            }),
            Phase::Recorded => step("its pack is indexed", copy.to(Phase::Filled), &|world| {
                world.add_to_index(pack);
            }),
            Phase::Filled => {
                let ended = Copier {
                    attempt: copy.attempt,
                    ..Copier::default()
                };
                step("it commits", ended.to(Phase::Ended), &|world| {
                    world.manifests |= snapshot & !world.deleted;
                });
            }
            Phase::Ended => {}
        }
    }
}
