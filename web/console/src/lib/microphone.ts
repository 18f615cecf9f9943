// The microphone as the server takes it: 16-bit mono sound at a rate of our choice, in pieces.

/** Speech needs no more; every recogniser takes it. */
export const MICROPHONE_HZ = 16_000;
/** 40 ms: short enough to be heard at once, long enough to be worth a frame. */
const PIECE = MICROPHONE_HZ / 25;

/** Samples between -1 and 1 as 16-bit numbers. */
export function pcm16(samples: ArrayLike<number>): Int16Array<ArrayBuffer> {
  const words = new Int16Array(samples.length);
  for (let at = 0; at < samples.length; at += 1) words[at] = Math.round(Math.max(-1, Math.min(1, samples[at] ?? 0)) * 32_767);
  return words;
}

/** Opens the microphone; the returned function closes it. Refused by the person, it throws. */
export async function listen(take: (piece: ArrayBuffer) => void): Promise<() => void> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true } });
  const context = new AudioContext({ sampleRate: MICROPHONE_HZ });
  const close = () => {
    for (const track of stream.getTracks()) track.stop();
    void context.close();
  };
  try {
    await context.audioWorklet.addModule('/app/assets/microphone-1.js');
    const node = new AudioWorkletNode(context, 'microphone', { numberOfOutputs: 0 });
    let held: number[] = [];
    node.port.onmessage = ({ data }: MessageEvent<Float32Array>) => {
      held.push(...data);
      while (held.length >= PIECE) {
        take(pcm16(held.slice(0, PIECE)).buffer);
        held = held.slice(PIECE);
      }
    };
    context.createMediaStreamSource(stream).connect(node);
  } catch (error) {
    close();
    throw error;
  }
  return close;
}
