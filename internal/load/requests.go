package main

import "strconv"

func (s *site) exchangeRequest(first int) func([]byte, int) []byte {
	head := "PUT /api/v1/trusted_publishing/tokens HTTP/1.1\r\nHost: " + s.addresses[0] + "\r\nContent-Type: application/json\r\nContent-Length: "
	return func(buffer []byte, i int) []byte {
		return appendRequest(buffer, head, `{"jwt":"`, s.jwts[first+i], `"}`)
	}
}

func (s *site) introspectRequest() func([]byte, int) []byte {
	head := "POST /oauth/introspect HTTP/1.1\r\nHost: " + s.addresses[0] + "\r\nAuthorization: Bearer " + s.stack.registryToken +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
	return func(buffer []byte, i int) []byte {
		return appendRequest(buffer, head, "token=", s.tokens[i%len(s.tokens)], "")
	}
}

// emptyRequest is as long as an exchange.
func (m *measurement) emptyRequest() func([]byte, int) []byte {
	head := "PUT / HTTP/1.1\r\nHost: " + m.echoAddress + "\r\nContent-Type: application/json\r\nContent-Length: "
	return func(buffer []byte, i int) []byte {
		return appendRequest(buffer, head, `{"jwt":"`, m.jwts[i%len(m.jwts)], `"}`)
	}
}

// appendRequest appends a request: the head, which ends before the length of the body,
// and the body, which is in three parts.
func appendRequest(buffer []byte, head, before, value, after string) []byte {
	buffer = append(buffer, head...)
	buffer = strconv.AppendInt(buffer, int64(len(before)+len(value)+len(after)), 10)
	buffer = append(buffer, "\r\n\r\n"...)
	buffer = append(buffer, before...)
	buffer = append(buffer, value...)
	return append(buffer, after...)
}
