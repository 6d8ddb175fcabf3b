//! Who may use how much memory: divides `max_memory` among tasks, their guests and the frames between them, so that the
//! sum stays below it whatever the guests do. What does not fit waits; nothing grows.

use rapidbyte_core::limits::{
    BATCH_BYTES_DEFAULT, BATCH_BYTES_MAX, BATCH_BYTES_MIN, BATCH_OVERHEAD_BYTES, HOST_MEMORY_BYTES,
    TASK_MEMORY_BYTES_MIN,
};
use serde::{Deserialize, Serialize};

use crate::limits::{FRAMES_PER_LINK, FRAMES_SHARE, FRAMES_SHARE_MAX};
use crate::spec::ResourceSpec;

/// How `max_memory` is divided. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// How many tasks run side by side.
    pub tasks_max: u32,
    /// What one guest may use at most; its manifest may ask for less.
    pub guest_bytes_max: u64,
    /// The largest frame.
    pub batch_bytes_max: u64,
    /// The largest record in a frame.
    pub record_bytes_max: u64,
    /// The bound of one channel.
    pub channel_bytes_max: u64,
}

/// Divides the memory for `tasks` tasks of up to `guests` connectors each in a chain, and `apart` beside it; with what it had
/// to lower, as sentences.
pub(crate) fn divide(
    resources: &ResourceSpec,
    tasks: usize,
    guests: usize,
    apart: usize,
) -> (MemoryPlan, Vec<String>) {
    let links = guests.max(2) as u64 - 1;
    let guests = guests.max(2) as u64 + apart as u64;
    let available = resources.max_memory_bytes.saturating_sub(HOST_MEMORY_BYTES).max(1);
    let wanted = u64::from(resources.parallelism).min(tasks as u64).max(1);
    let mut tasks_max = wanted.min(available / TASK_MEMORY_BYTES_MIN).max(1);
    let mut warnings = Vec::new();

    let batch_bytes_max = match resources.max_batch_bytes {
        Some(asked) => {
            let asked = asked.clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX);
            // Fewer tasks side by side rather than smaller frames, smaller frames rather than more memory.
            let fits = |tasks: u64| available / tasks / (FRAMES_SHARE_MAX * FRAMES_PER_LINK * links);
            while tasks_max > 1 && fits(tasks_max) < asked {
                tasks_max -= 1;
            }
            let fitting = fits(tasks_max).max(BATCH_BYTES_MIN);
            if fitting < asked {
                warnings.push(format!(
                    "`max_batch_bytes` of {} does not fit into `max_memory` of {}; batches are held to {}",
                    mebibytes(asked),
                    mebibytes(resources.max_memory_bytes),
                    mebibytes(fitting)
                ));
            }
            asked.min(fitting)
        }
        None => (available / tasks_max / (FRAMES_SHARE * FRAMES_PER_LINK * links))
            .clamp(BATCH_BYTES_MIN, BATCH_BYTES_DEFAULT),
    };
    let record_bytes_fitting = batch_bytes_max - BATCH_OVERHEAD_BYTES;
    let record_bytes_max = match resources.max_record_bytes {
        Some(asked) if asked > record_bytes_fitting => {
            warnings.push(format!(
                "`max_record_bytes` of {} does not fit into a batch; records are held to {}",
                mebibytes(asked),
                mebibytes(record_bytes_fitting)
            ));
            record_bytes_fitting
        }
        Some(asked) => asked,
        None => record_bytes_fitting,
    };
    let task_bytes = available / tasks_max;
    let frames_bytes = (FRAMES_PER_LINK * links * batch_bytes_max).min(task_bytes / FRAMES_SHARE_MAX);
    let plan = MemoryPlan {
        tasks_max: u32::try_from(tasks_max).unwrap_or(u32::MAX),
        guest_bytes_max: (task_bytes - frames_bytes) / guests,
        batch_bytes_max,
        record_bytes_max,
        channel_bytes_max: batch_bytes_max,
    };
    (plan, warnings)
}

fn mebibytes(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes.is_multiple_of(MIB) {
        format!("{}mb", bytes / MIB)
    } else {
        format!("{:.1}mb", bytes as f64 / MIB as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn resources(max_memory_mib: u64, parallelism: u32, batch_mib: Option<u64>) -> ResourceSpec {
        ResourceSpec {
            max_memory_bytes: max_memory_mib * MIB,
            parallelism,
            max_batch_bytes: batch_mib.map(|mib| mib * MIB),
            ..ResourceSpec::default()
        }
    }

    #[test]
    fn never_promises_more_than_there_is() {
        for memory in [64, 65, 100, 128, 256, 512, 4096] {
            for parallelism in [1, 2, 4, 32, 256] {
                for tasks in [1, 3, 100] {
                    for guests in [2, 3, 5] {
                        for batch in [None, Some(1), Some(8), Some(64), Some(256)] {
                            let (plan, _) = divide(&resources(memory, parallelism, batch), tasks, guests, 0);
                            let links = guests as u64 - 1;
                            let frames = FRAMES_PER_LINK * links * plan.batch_bytes_max;
                            let task = frames + plan.guest_bytes_max * guests as u64;
                            let sum = HOST_MEMORY_BYTES + task * u64::from(plan.tasks_max);
                            assert!(
                                sum <= memory * MIB,
                                "{memory} {parallelism} {tasks} {guests} {batch:?}: {plan:?}"
                            );
                            assert!(plan.tasks_max >= 1 && plan.tasks_max <= parallelism);
                            assert!(plan.record_bytes_max < plan.batch_bytes_max);
                            assert!(plan.batch_bytes_max >= BATCH_BYTES_MIN);
                            assert!(plan.guest_bytes_max >= 4 * MIB, "{plan:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_single_stream_in_256_mib_takes_records_of_8_mib() {
        let (plan, warnings) = divide(&resources(256, 4, None), 1, 2, 0);
        assert!(plan.record_bytes_max > 9 * MIB, "{plan:?}");
        assert!(plan.guest_bytes_max > 80 * MIB, "{plan:?}");
        assert!(warnings.is_empty());
    }

    #[test]
    fn large_batches_cost_tasks_before_they_are_lowered() {
        let (plan, warnings) = divide(&resources(1024, 4, Some(32)), 4, 2, 0);
        assert_eq!((plan.tasks_max, plan.batch_bytes_max), (2, 32 * MIB));
        assert!(warnings.is_empty());
        let (plan, warnings) = divide(&resources(256, 4, Some(64)), 4, 2, 0);
        assert_eq!(plan.tasks_max, 1);
        assert!(plan.batch_bytes_max > 19 * MIB);
        assert_eq!(
            warnings,
            ["`max_batch_bytes` of 64mb does not fit into `max_memory` of 256mb; batches are held to 19.3mb"]
        );
    }
}
