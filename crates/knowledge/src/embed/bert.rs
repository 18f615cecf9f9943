//! The forward pass of a BERT encoder with mean pooling, as all-MiniLM-L6-v2 needs it (Devlin et al. 2018; Reimers and Gurevych 2019).

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, bail};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder, embedding, layer_norm, linear, ops};
use pulp::{Arch, Simd, WithSimd};
use serde::Deserialize;

/// The part of `config.json` that shapes the network.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Config {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_attention_heads: usize,
    pub num_hidden_layers: usize,
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
    pub vocab_size: usize,
    pub layer_norm_eps: f64,
    pub hidden_act: String,
}

pub(super) struct Bert {
    words: Embedding,
    positions: Embedding,
    /// Every token is of the first sentence, so one row of the table serves all.
    kind: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl Bert {
    pub(super) fn load(config: &Config, weights: Vec<u8>) -> Result<Self> {
        let root = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
        let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
        let tables = root.pp("embeddings");
        let kinds = embedding(config.type_vocab_size, hidden, tables.pp("token_type_embeddings"))?;
        let layers = (0..config.num_hidden_layers)
            .map(|number| Layer::load(config, &root.pp(format!("encoder.layer.{number}"))));
        Ok(Bert {
            words: embedding(config.vocab_size, hidden, tables.pp("word_embeddings"))?,
            positions: embedding(config.max_position_embeddings, hidden, tables.pp("position_embeddings"))?,
            kind: kinds.embeddings().get(0)?,
            norm: layer_norm(hidden, eps, tables.pp("LayerNorm"))?,
            layers: layers.collect::<Result<_>>()?,
        })
    }

    /// One vector of length 1 for each window. Windows must not be empty; shorter ones are padded and the padding masked.
    pub(super) fn embed(&self, windows: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let width = windows.iter().map(|window| window.len()).max().unwrap_or(0);
        let shape = (windows.len(), width);
        let padded = |fill: &dyn Fn(&[u32], usize) -> u32| -> Vec<u32> {
            windows.iter().flat_map(|window| (0..width).map(|at| fill(window, at))).collect()
        };
        let ids = Tensor::from_vec(padded(&|window, at| window.get(at).copied().unwrap_or(0)), shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(padded(&|window, at| u32::from(at < window.len())), shape, &Device::Cpu)?
            .to_dtype(DType::F32)?;
        // Added to attention scores: nothing for tokens, so much for padding that its weight vanishes.
        let bias = mask.affine(1e9, -1e9)?.unsqueeze(1)?.unsqueeze(1)?;
        let places = self.positions.forward(&Tensor::arange(0, width as u32, &Device::Cpu)?)?;
        let mut state = self.words.forward(&ids)?.broadcast_add(&places)?.broadcast_add(&self.kind)?;
        state = self.norm.forward(&state)?;
        for layer in &self.layers {
            state = layer.forward(&state, &bias)?;
        }
        let weights = mask.unsqueeze(2)?;
        let mean = state.broadcast_mul(&weights)?.sum(1)?.broadcast_div(&weights.sum(1)?)?;
        let length = mean.sqr()?.sum_keepdim(1)?.sqrt()?;
        mean.broadcast_div(&length)?.to_vec2()
    }
}

impl Layer {
    fn load(config: &Config, root: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, wide, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let attention = root.pp("attention");
        Ok(Layer {
            query: linear(hidden, hidden, attention.pp("self.query"))?,
            key: linear(hidden, hidden, attention.pp("self.key"))?,
            value: linear(hidden, hidden, attention.pp("self.value"))?,
            attended: linear(hidden, hidden, attention.pp("output.dense"))?,
            attended_norm: layer_norm(hidden, eps, attention.pp("output.LayerNorm"))?,
            widen: linear(hidden, wide, root.pp("intermediate.dense"))?,
            narrow: linear(wide, hidden, root.pp("output.dense"))?,
            norm: layer_norm(hidden, eps, root.pp("output.LayerNorm"))?,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, state: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (batch, width, hidden) = state.dims3()?;
        let size = hidden / self.heads;
        let split = |tensor: Tensor| tensor.reshape((batch, width, self.heads, size))?.transpose(1, 2)?.contiguous();
        let query = split((self.query.forward(state)? / (size as f64).sqrt())?)?;
        let key = split(self.key.forward(state)?)?;
        let value = split(self.value.forward(state)?)?;
        let scores = query.matmul(&key.t()?)?.broadcast_add(bias)?;
        let mixed = ops::softmax_last_dim(&scores)?.matmul(&value)?;
        let mixed = mixed.transpose(1, 2)?.contiguous()?.reshape((batch, width, hidden))?;
        let state = self.attended_norm.forward(&(self.attended.forward(&mixed)? + state)?)?;
        let wide = self.widen.forward(&state)?.apply_op1_no_bwd(&Gelu)?;
        self.norm.forward(&(self.narrow.forward(&wide)? + &state)?)
    }
}

/// x·Φ(x) with the error function's rational form 7.1.28 of Abramowitz and Stegun (error below 3·10⁻⁷, far below what the
/// weights carry). The library's own computes each number in double precision and takes longer than the matrices.
struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("gelu needs contiguous 32-bit numbers");
        };
        let mut out = values[start..end].to_vec();
        Arch::new().dispatch(InPlace(&mut out));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

struct InPlace<'a>(&'a mut [f32]);

impl WithSimd for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for value in self.0 {
            *value = gelu(*value);
        }
    }
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let series = 1.0
        + z * (0.070_523_078
            + z * (0.042_282_01
                + z * (0.009_270_527 + z * (0.000_152_014_3 + z * (0.000_276_567_2 + z * 0.000_043_063_8)))));
    let square = series * series;
    let fourth = square * square;
    let eighth = fourth * fourth;
    let tail = 0.5 / (eighth * eighth); // 1 - Φ(|x|); for large x the divisor overflows to infinity and the tail is 0, as it should be.
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::gelu;

    #[test]
    fn gelu_is_the_exact_one_within_rounding() {
        let inputs: Vec<f32> = (-1_200..=1_200).map(|step| step as f32 / 100.0).collect();
        let exact = Tensor::new(inputs.as_slice(), &Device::Cpu)
            .and_then(|tensor| tensor.gelu_erf())
            .and_then(|tensor| tensor.to_vec1::<f32>())
            .expect("gelu");
        for (input, exact) in inputs.iter().zip(exact) {
            assert!((gelu(*input) - exact).abs() < 4e-6, "{input}: {} instead of {exact}", gelu(*input));
        }
    }
}
