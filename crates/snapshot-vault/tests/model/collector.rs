//! A collection.

use crate::world::{NOBODY, Rules, Set, Show, World, members, only, pack_of_collector};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Collector {
    phase: Phase,
    /// Packs: those listed first, then those to be condemned, then those to be dropped.
    packs: Set,
    /// Manifests that the census walks.
    manifests: Set,
    /// The pack that holds what is in use, as the census found it.
    live: Option<u8>,
    /// Copies to be waited for: by their rows, and by their sessions.
    rows: Set,
    sessions: Set,
    /// The pack whose chunk is to be rescued.
    rescued: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Phase {
    #[default]
    Waiting,
    Finishing(Removal),
    Started,
    Chosen,
    Condemned,
    AtBarrier,
    Walking,
    Counted,
    Removing(Removal),
    Rescuing,
    RescueRecorded,
    RescueIndexed,
    RemovingRescued(Removal),
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Removal {
    Objects,
    Rows,
}

impl Collector {
    pub(crate) fn is_under_way(&self) -> bool {
        self.phase != Phase::Waiting && self.phase != Phase::Ended
    }

    pub(crate) fn crash(&mut self) {
        if self.phase != Phase::Waiting {
            *self = Self::default().to(Phase::Ended);
        }
    }

    fn to(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }
}

impl World {
    #[expect(clippy::too_many_lines, reason = "read from its top to its end it is the protocol")]
    pub(crate) fn collector_steps(&self, number: usize, rules: &Rules, show: &mut Show<'_>) {
        let me = u8::try_from(number).expect("two collectors");
        let it = self.collectors[number];
        let mut step = |name, after: Collector, change: &dyn Fn(&mut Self)| {
            let mut world = *self;
            world.collectors[number] = after;
            change(&mut world);
            show(name, world);
        };
        let owned = |set: Set| -> Set {
            let is_mine = |pack: &usize| !rules.compares_owner || self.owner[*pack] == me;
            members(set).filter(is_mine).map(only).sum()
        };
        let release = |world: &mut Self, packs: Set| {
            let packs = owned(packs & world.condemned);
            world.condemned &= !packs;
            world.kept |= packs;
            members(packs).for_each(|pack| world.owner[pack] = NOBODY);
        };
        let drop_packs = |world: &mut Self, packs: Set| {
            let packs = owned(packs & world.condemned);
            world.condemned &= !packs;
            world.dropped |= packs;
            packs
        };
        let running_rows: Set = (0..2).filter(|n| self.copies[*n].has_row).map(only).sum();
        let sessions: Set = (0..2).filter(|n| self.copies[*n].has_session).map(only).sum();
        let needed = |manifests: Set| self.location.filter(|_| manifests != 0);
        match it.phase {
            // A second one takes over, whatever the first is doing.
            Phase::Waiting if number < self.bounds.collections.into() && self.has_started(number) => {
                let going = self.condemned | self.dropped;
                let packs = self.dropped;
                let phase = if packs == 0 {
                    Phase::Started
                } else {
                    Phase::Finishing(Removal::Objects)
                };
                step(
                    "a collection takes over",
                    Collector { packs, ..it }.to(phase),
                    &|world| {
                        members(going).for_each(|pack| world.owner[pack] = me);
                    },
                );
            }
            Phase::Waiting | Phase::Ended => {}
            Phase::Finishing(stage) => self.removal(number, stage, Phase::Finishing, Phase::Started, show),
            // Any pack may be worth removing that is not in use, or little. What the first census finds in use need not
            // be true any more when packs are condemned.
            Phase::Started => {
                let listed = if rules.leaves_unindexed {
                    self.kept & self.indexed
                } else {
                    self.kept
                };
                let live = needed(self.manifests);
                let live_set = live.map_or(0, |pack| only(pack.into()));
                let live = live.filter(|_| !rules.counts_again);
                let phase = if rules.barrier_follows_condemning {
                    Phase::Chosen
                } else {
                    Phase::Condemned
                };
                for packs in [listed & !live_set, listed] {
                    step(
                        "it counts, and chooses packs",
                        Collector { packs, live, ..it }.to(phase),
                        &|_| (),
                    );
                }
                // Something can't be read.
                step("it refuses", it.to(Phase::Ended), &|world| {
                    release(world, world.condemned);
                });
            }
            // In the right order it condemns, and then reads which copies run.
            Phase::Chosen => {
                let to = if rules.barrier_follows_condemning {
                    Phase::Condemned
                } else {
                    Phase::AtBarrier
                };
                let packs = it.packs & self.kept;
                step("it condemns", it.to(to), &|world| {
                    world.kept &= !packs;
                    world.condemned |= packs;
                    members(packs).for_each(|pack| world.owner[pack] = me);
                });
            }
            Phase::Condemned => {
                let to = if rules.barrier_follows_condemning {
                    Phase::AtBarrier
                } else {
                    Phase::Chosen
                };
                let read = Collector {
                    rows: running_rows,
                    sessions: if rules.waits_for_sessions { sessions } else { 0 },
                    ..it
                };
                step("it reads which copies run", read.to(to), &|_| ());
            }
            Phase::AtBarrier if rules.waits && (it.rows & running_rows) | (it.sessions & sessions) != 0 => {}
            Phase::AtBarrier => {
                let walking = Collector {
                    packs: self.condemned,
                    manifests: self.manifests,
                    rows: 0,
                    sessions: 0,
                    ..it
                };
                step(
                    "those copies have ended, and it lists the manifests",
                    walking.to(Phase::Walking),
                    &|_| (),
                );
                step("it refuses", Collector::default().to(Phase::Ended), &|world| {
                    release(world, world.condemned);
                });
            }
            Phase::Walking => {
                let live = if rules.counts_again {
                    needed(it.manifests)
                } else {
                    it.live
                };
                let live = live.filter(|pack| it.packs & only((*pack).into()) != 0);
                let live_set = live.map_or(0, |pack| only(pack.into()));
                let packs = if rules.rescues { it.packs & !live_set } else { it.packs };
                let counted = Collector {
                    packs,
                    live: None,
                    manifests: 0,
                    ..it
                }
                .to(Phase::Counted);
                step("it counts again, and keeps what is in use", counted, &|world| {
                    release(world, if rules.rescues { live_set } else { 0 });
                });
                if live.is_some() && rules.rescues {
                    let rescuing = Collector {
                        rescued: live,
                        ..counted
                    };
                    step("it counts again, and will rescue what is in use", rescuing, &|_| ());
                }
            }
            Phase::Counted => {
                let mut world = *self;
                let packs = drop_packs(&mut world, it.packs);
                world.collectors[number] = Collector { packs, ..it }.to(Phase::Removing(Removal::Objects));
                show("it drops", world);
            }
            Phase::Removing(stage) => self.removal(number, stage, Phase::Removing, Phase::Rescuing, show),
            Phase::Rescuing => match it.rescued.map(usize::from) {
                None => step("it ends", Collector::default().to(Phase::Ended), &|_| ()),
                Some(from) if self.objects & only(from) == 0 => {
                    let ended = Collector::default().to(Phase::Ended);
                    step("what it would rescue is gone", ended, &|world| {
                        release(world, only(from));
                    });
                }
                Some(_) => step(
                    "a rescued chunk is stored and recorded",
                    it.to(Phase::RescueRecorded),
                    &|world| {
                        world.objects |= only(pack_of_collector(number));
                        world.kept |= only(pack_of_collector(number));
                    },
                ),
            },
            Phase::RescueRecorded => step("it is indexed", it.to(Phase::RescueIndexed), &|world| {
                world.add_to_index(pack_of_collector(number));
            }),
            Phase::RescueIndexed => {
                let mut world = *self;
                let packs = drop_packs(&mut world, it.rescued.map_or(0, |pack| only(pack.into())));
                let removing = Collector {
                    packs,
                    rescued: None,
                    ..it
                };
                world.collectors[number] = removing.to(Phase::RemovingRescued(Removal::Objects));
                show("it drops what was rescued", world);
            }
            Phase::RemovingRescued(stage) => {
                self.removal(number, stage, Phase::RemovingRescued, Phase::Rescuing, show);
            }
        }
    }

    /// Whether the collection before this one has begun.
    fn has_started(&self, number: usize) -> bool {
        number
            .checked_sub(1)
            .is_none_or(|before| self.collectors[before].phase != Phase::Waiting)
    }

    /// Removes dropped packs: from the index, from the store, from the catalog.
    fn removal(&self, number: usize, stage: Removal, next: fn(Removal) -> Phase, end: Phase, show: &mut Show<'_>) {
        let it = self.collectors[number];
        let mut after = *self;
        let (name, phase) = match stage {
            Removal::Objects => {
                after.remove_from_index(it.packs);
                after.objects &= !it.packs;
                ("dropped packs leave index and store", next(Removal::Rows))
            }
            Removal::Rows => {
                let gone = it.packs & after.dropped;
                after.dropped &= !gone;
                members(gone).for_each(|pack| after.owner[pack] = NOBODY);
                ("dropped packs leave the catalog", end)
            }
        };
        after.collectors[number] = Collector { packs: 0, ..it }.to(phase);
        if !matches!(stage, Removal::Rows) {
            after.collectors[number].packs = it.packs;
        }
        show(name, after);
    }
}
