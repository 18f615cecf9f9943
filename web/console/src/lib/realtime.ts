// A session of OpenAI Realtime that this page has: the microphone goes there, and its voice comes from there. What is said in it is the conversation's.
import type { RealtimeToken } from '../../../generated/api';
import { api } from './api';

/** A provider that takes longer does not answer. */
const ANSWER_MS = 15_000;

export interface Session {
  /** Its name there. */
  id: string;
  mute(on: boolean): void;
  close(): void;
}

/** Why there is no session. */
export class NoSession extends Error {
  constructor(readonly why: 'microphone' | 'provider') {
    super(why);
  }
}

/** Opens one for a call to an agent. Throws `NoSession`, or the server's own error where it gives no token. */
export async function openSession(agent: string, lost: () => void): Promise<Session> {
  const token = await api.post<RealtimeToken>('/api/ai/realtime-token', { agent_id: agent });
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } }).catch(() => {
    throw new NoSession('microphone');
  });
  const peer = new RTCPeerConnection();
  const speaker = new Audio();
  speaker.autoplay = true;
  const close = () => {
    peer.onconnectionstatechange = null;
    peer.close();
    for (const track of stream.getTracks()) track.stop();
    speaker.srcObject = null;
  };
  try {
    peer.ontrack = ({ streams, track }) => (speaker.srcObject = streams[0] ?? new MediaStream([track]));
    for (const track of stream.getTracks()) peer.addTrack(track, stream);
    await peer.setLocalDescription(await peer.createOffer());
    const answer = await fetch(token.calls_url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token.value}`, 'Content-Type': 'application/sdp' },
      body: peer.localDescription?.sdp,
      credentials: 'omit',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const id = answer.headers.get('location')?.split('/').at(-1);
    if (!answer.ok || !id) throw new NoSession('provider');
    await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'failed') lost();
    };
    return { id, mute: (on) => (speaker.muted = on), close };
  } catch (cause) {
    close();
    throw cause instanceof NoSession ? cause : new NoSession('provider');
  }
}
