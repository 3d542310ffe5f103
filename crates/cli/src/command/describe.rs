//! What the library makes of a model's files.

use std::io::{self, Write};

use dewdrop::{Engine, Model};

use crate::table::{Side, Table};

/// Tells on stderr who computes an engine's model, and which tensor plays which role.
pub(crate) fn tell(engine: &Engine) -> anyhow::Result<()> {
    let Model { program, claims, .. } = engine.model();
    let mut err = io::stderr().lock();
    writeln!(err, "backend: {}", engine.backend_name())?;
    let mut table = Table::new(&[Side::Left, Side::Left, Side::Left, Side::Left]);
    for (section, claims) in program.sections.iter().zip(&claims.sections) {
        for (role, claim) in section.weights.iter().zip(claims) {
            let (name, kind) = (claim.info.name.clone(), claim.info.block_type.block().name.into());
            table.row([section.name.clone(), role.role.clone(), name, kind]);
        }
    }
    for (name, why) in &claims.unused {
        table.row(["unused".into(), (*why).into(), name.clone(), String::new()]);
    }
    Ok(table.write(&mut err)?)
}
