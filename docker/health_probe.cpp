// health-probe PORT [SERVICE]: asks grpc.health.v1.Health/Check on this machine, without TLS.
// health-probe PORT /PATH: gets a path by HTTP/1.1 instead.
//
// Exits with 0 if the answer is SERVING or 200, with 1 and a line on standard error otherwise. The health check
// of a container runs every few seconds: this takes a millisecond where a Python interpreter with gRPC takes
// half a second of a core. It speaks just enough HTTP/2 (RFC 9113) for one unary call; headers are sent as
// literals, without Huffman coding (RFC 7541), and those of the answer are not read.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr int kTimeoutSeconds = 3;
constexpr uint32_t kLargestFrame = 1 << 14;
constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kGoAway = 7;
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8;

[[noreturn]] void fail(const std::string& reason) {
  std::fprintf(stderr, "%s\n", reason.c_str());
  std::exit(1);
}

std::string frame(uint8_t type, uint8_t flags, uint8_t stream, const std::string& payload) {
  std::string bytes;
  for (int shift : {16, 8, 0}) bytes += static_cast<char>(payload.size() >> shift);
  bytes += static_cast<char>(type);
  bytes += static_cast<char>(flags);
  bytes += std::string(3, '\0') + static_cast<char>(stream);
  return bytes + payload;
}

std::string counted(const std::string& text) { return static_cast<char>(text.size()) + text; }

std::string request(const std::string& service) {
  const std::string headers = std::string("\x83\x86", 2)                           // POST, http
                              + '\x04' + counted("/grpc.health.v1.Health/Check")  // :path
                              + '\x01' + counted("localhost")                     // :authority
                              + std::string("\x0f\x10", 2) + counted("application/grpc")
                              + '\x00' + counted("te") + counted("trailers");
  const std::string message = service.empty() ? "" : '\x0a' + counted(service);
  const std::string prefix = std::string(4, '\0') + static_cast<char>(message.size());
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0, "") +
         frame(kHeaders, kEndHeaders, 1, headers) + frame(kData, kEndStream, 1, prefix + message);
}

int connected(int port) {
  const int socket_number = socket(AF_INET, SOCK_STREAM, 0);
  if (socket_number < 0) fail("no socket");
  const timeval timeout{kTimeoutSeconds, 0};
  setsockopt(socket_number, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(socket_number, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_number, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    fail("nothing listens on port " + std::to_string(port));
  return socket_number;
}

void send_all(int socket_number, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t count = send(socket_number, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) fail("the connection broke");
    sent += static_cast<size_t>(count);
  }
}

std::string receive(int socket_number, size_t size) {
  std::string bytes(size, '\0');
  for (size_t read = 0; read < size;) {
    const ssize_t count = recv(socket_number, &bytes[read], size - read, 0);
    if (count <= 0) fail("no answer");
    read += static_cast<size_t>(count);
  }
  return bytes;
}

// The state in the message of a DATA frame: field 1 of HealthCheckResponse; 0 where it is absent.
int state_of(std::string payload, uint8_t flags) {
  if (flags & kPadded) payload.erase(0, 1);
  if (payload.size() < 5) fail("the answer is too short");
  return payload.size() >= 7 && payload[5] == '\x08' ? payload[6] : 0;
}

int ask(int socket_number, const std::string& service) {
  send_all(socket_number, request(service));
  for (;;) {
    const std::string head = receive(socket_number, 9);
    const auto byte = [&](int place) { return static_cast<uint32_t>(static_cast<uint8_t>(head[place])); };
    const uint32_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    const uint8_t type = static_cast<uint8_t>(byte(3)), flags = static_cast<uint8_t>(byte(4));
    if (size > kLargestFrame) fail("this is no HTTP/2: does the port expect TLS?");
    const std::string payload = receive(socket_number, size);
    if (type == kData && size > 0) return state_of(payload, flags);
    if (type == kSettings && !(flags & kAck)) send_all(socket_number, frame(kSettings, kAck, 0, ""));
    if (type == kHeaders && (flags & kEndStream)) fail("refused: is the service known here?");
    if (type == kReset || type == kGoAway) fail("the call was refused");
  }
}

// Fails unless the answer's status is 200.
void get(int socket_number, const std::string& path) {
  send_all(socket_number, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string line = receive(socket_number, 12);
  if (line.rfind("HTTP/1.", 0) != 0 || line.substr(8) != " 200") fail("not serving: the answer begins with " + line);
}

}  // namespace

int main(int count, char** words) {
  if (count < 2 || count > 3) fail("usage: health-probe PORT [SERVICE | /PATH]");
  const int port = std::atoi(words[1]);
  const std::string service = count == 3 ? words[2] : "";
  if (port < 1 || port > 65535) fail("PORT must be 1 to 65535");
  if (service.size() > 100) fail("SERVICE must be at most 100 letters");
  if (service.rfind('/', 0) == 0) {
    get(connected(port), service);
    return 0;
  }
  const int state = ask(connected(port), service);
  if (state != 1) fail("not serving: state " + std::to_string(state));
  return 0;
}
