/** The server broke the protocol; nothing that it sends is read any more. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
}
