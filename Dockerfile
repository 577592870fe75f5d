FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /trustpub ./cmd/trustpub

# Nothing but the program and the certificate authorities; no shell, no root.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /trustpub /trustpub
USER 65532:65532
ENV TRUSTPUB_LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["/trustpub"]
CMD ["serve"]
