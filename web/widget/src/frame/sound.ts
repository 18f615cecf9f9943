/** One short, quiet tone for a message that arrives. */

const PITCH_HZ = 740;
const LOUDNESS = 0.04;
const LENGTH_S = 0.09;

let audio: AudioContext | undefined;

export function blip(): void {
  try {
    audio ??= new AudioContext();
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = PITCH_HZ;
    volume.gain.value = LOUDNESS;
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + LENGTH_S);
  } catch {
    // No audio device, or none allowed before a gesture: the message itself is enough.
  }
}
