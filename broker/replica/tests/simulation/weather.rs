//! Trouble that a disk is asked for, the same for every world: the power goes after any single operation, an
//! operation fails once, the disk fills up. `clear` is a disk that is well again, as after a restart elsewhere.

use std::io::ErrorKind;

use logspine_storage::sim_disk::{Rng, SimDisk};

/// Asks for one kind of trouble at a place that the generator draws; its name.
pub fn brew(rng: &mut Rng, disk: &SimDisk) -> String {
    match rng.below(10) {
        0..6 => {
            let operations = 1 + rng.below(14);
            disk.cut_power_after(operations);
            format!("the power goes after {operations} operations")
        }
        6..8 => {
            let (skip, error) =
                (rng.below(8), [ErrorKind::Other, ErrorKind::StorageFull][rng.below(2) as usize]);
            disk.fail_operation(skip, error);
            format!("the operation after {skip} fails: {error}")
        }
        _ => {
            let free_bytes = rng.below(700);
            disk.set_free_bytes(Some(free_bytes));
            format!("{free_bytes} bytes are left")
        }
    }
}

/// No fault that was asked for comes any more; a power cut still does.
pub fn clear(disk: &SimDisk) {
    disk.clear_faults();
}
