//! Every tensor of a file is claimed by the program, known to be unused, or refuses the file.

use std::collections::BTreeMap;

use dewdrop_backend::{Program, Transform, WeightSpec};
use dewdrop_format::{BlockType, TensorInfo};

use crate::config::SourceKind;
use crate::descriptor::Descriptor;
use crate::error::ModelError;
use crate::family::Family;
use crate::names;

/// Tensors that an error about unknown ones lists.
const MAX_LISTED: usize = 5;

/// Which tensor fills each weight of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// Per section, per weight of it.
    pub sections: Vec<Vec<Claim>>,
    /// Tensors that the program does not need, and why.
    pub unused: Vec<(String, &'static str)>,
}

/// The tensor that fills a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Where it is.
    pub info: TensorInfo,
    /// What is done to its values.
    pub transform: Transform,
    /// Channels; 1 for vectors.
    pub n_out: usize,
    /// Inputs of a channel.
    pub n_in: usize,
}

/// Finds and checks the tensor for each weight of `program`, which was compiled from `model`.
///
/// # Errors
///
/// If a tensor is missing, has another shape or a type that its role does not allow, or if one is left over that is not
/// known to be unused.
pub fn claim(
    model: &Descriptor,
    program: &Program,
    tensors: &BTreeMap<String, TensorInfo>,
) -> Result<Claims, ModelError> {
    let mut open = by_plain_name(model.source, tensors)?;
    let file = File { model, family: family(model), tensors: open.clone() };
    let mut sections = Vec::with_capacity(program.sections.len());
    for (index, section) in program.sections.iter().enumerate() {
        // The entry comes before the layers and the exit after them.
        let layer = index.checked_sub(1).filter(|&layer| layer < model.layers.len());
        let mut claims = Vec::with_capacity(section.weights.len());
        for spec in &section.weights {
            let (name, claim) = file.find(layer, spec)?;
            open.remove(&name);
            claims.push(claim);
        }
        sections.push(claims);
    }
    let unused = explain(model, open)?;
    Ok(Claims { sections, unused })
}

fn family(model: &Descriptor) -> &'static Family {
    Family::named(model.family).expect("descriptors are made by families of the table")
}

/// Tensors by their names without the prefixes of wrappers.
fn by_plain_name(
    source: SourceKind,
    tensors: &BTreeMap<String, TensorInfo>,
) -> Result<BTreeMap<String, &TensorInfo>, ModelError> {
    let mut plain = BTreeMap::new();
    for (name, tensor) in tensors {
        let key = if source == SourceKind::HuggingFace { names::plain_name(name) } else { name.clone() };
        if let Some(first) = plain.insert(key, tensor) {
            let (first, second) = (first.name.clone(), tensor.name.clone());
            return Err(ModelError::DuplicateTensor { first, second });
        }
    }
    Ok(plain)
}

struct File<'a> {
    model: &'a Descriptor,
    family: &'static Family,
    tensors: BTreeMap<String, &'a TensorInfo>,
}

impl File<'_> {
    /// The plain name of the tensor that fills a weight, and the claim on it.
    fn find(&self, layer: Option<usize>, spec: &WeightSpec) -> Result<(String, Claim), ModelError> {
        let candidates = names::file_names(self.family, self.model.source, layer, &spec.role);
        let found = candidates.iter().find_map(|name| Some((name, *self.tensors.get(name)?)));
        let Some((name, tensor)) = found else {
            let tensor = candidates.into_iter().next().expect("every role has a name");
            return Err(ModelError::MissingTensor { tensor, expected: usual_shape(spec) });
        };
        let transform = self.transform(&spec.role);
        check_shape(tensor, spec)?;
        check_type(tensor, spec, transform)?;
        let claim = Claim { info: tensor.clone(), transform, n_out: spec.n_out, n_in: spec.n_in };
        Ok((name.clone(), claim))
    }

    fn transform(&self, role: &str) -> Transform {
        match (self.model.source, role) {
            (SourceKind::Gguf, _) => Transform::None,
            (SourceKind::HuggingFace, "ssm_a") => Transform::NegExp,
            // The gated norm of the delta rule starts from one in all families.
            (SourceKind::HuggingFace, "ssm_norm.weight") => Transform::None,
            (SourceKind::HuggingFace, role)
                if self.family.norms_from_zero && role.ends_with("norm.weight") =>
            {
                Transform::AddOne
            }
            (SourceKind::HuggingFace, _) => Transform::None,
        }
    }
}

/// The shape as files write it: vectors have one size.
fn usual_shape(spec: &WeightSpec) -> Vec<usize> {
    if spec.n_out == 1 { vec![spec.n_in] } else { vec![spec.n_out, spec.n_in] }
}

/// Sizes of 1 do not matter: folders write the taps of a convolution as `[channels, 1, kernel]`.
fn check_shape(tensor: &TensorInfo, spec: &WeightSpec) -> Result<(), ModelError> {
    let longer_than_one =
        |sizes: &[usize]| sizes.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
    if longer_than_one(&tensor.shape) == longer_than_one(&[spec.n_out, spec.n_in]) {
        return Ok(());
    }
    Err(ModelError::TensorShape {
        tensor: tensor.name.clone(),
        found: tensor.shape.clone(),
        expected: usual_shape(spec),
    })
}

/// Vectors, taps and what is transformed are read as plain numbers; matrices are of any type whose blocks fill a channel.
fn check_type(tensor: &TensorInfo, spec: &WeightSpec, transform: Transform) -> Result<(), ModelError> {
    let block = tensor.block_type.block();
    let is_plain = matches!(tensor.block_type, BlockType::F32 | BlockType::F16 | BlockType::BF16);
    let must_be_plain = spec.n_out == 1 || transform != Transform::None || is_taps(&spec.role);
    let expected = match (must_be_plain && !is_plain, spec.n_in.is_multiple_of(block.len)) {
        (true, _) => "F32, F16 or BF16".to_owned(),
        (false, false) => format!("a type whose blocks divide rows of {}", spec.n_in),
        (false, true) => return Ok(()),
    };
    Err(ModelError::TensorType { tensor: tensor.name.clone(), found: block.name.into(), expected })
}

fn is_taps(role: &str) -> bool {
    matches!(role, "ssm_conv1d.weight" | "shortconv.conv.weight")
}

/// Reasons for all tensors that are left over.
fn explain(
    model: &Descriptor,
    open: BTreeMap<String, &TensorInfo>,
) -> Result<Vec<(String, &'static str)>, ModelError> {
    let mut unused = Vec::new();
    let mut unknown = Vec::new();
    for (name, tensor) in open {
        match names::unused(model, &name) {
            Some(reason) => unused.push((tensor.name.clone(), reason)),
            None => unknown.push(names::in_words(tensor)),
        }
    }
    if unknown.is_empty() {
        return Ok(unused);
    }
    let count = unknown.len();
    unknown.truncate(MAX_LISTED);
    if count > MAX_LISTED {
        unknown.push("...".into());
    }
    Err(ModelError::UnknownTensors { family: model.family, count, first: unknown.join(", ") })
}
