// Kafka's own tables as lines of text: API keys ("api"), the headers of every version as Kafka writes them ("header"),
// what its ApiVersions answers ("advertised"), error codes ("error").

import java.io.PrintStream;
import java.util.HexFormat;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ApiVersionsResponseData.ApiVersion;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.requests.ApiVersionsResponse;

final class KafkaTables {
    static void print(PrintStream out) {
        for (ApiKeys api : ApiKeys.values()) {
            ApiMessageType type = api.messageType;
            out.println("api " + api.id + " " + api.name + " " + type.lowestSupportedVersion() + " "
                + type.highestSupportedVersion(true) + " " + type.latestVersionUnstable());
            for (short v = type.lowestSupportedVersion(); v <= type.highestSupportedVersion(true); v++) {
                RequestHeaderData request = new RequestHeaderData().setRequestApiKey(api.id)
                    .setRequestApiVersion(v).setCorrelationId(api.id * 1000 + v).setClientId(v % 2 == 0 ? "caf\u00e9" : null);
                ResponseHeaderData response = new ResponseHeaderData().setCorrelationId(api.id * 1000 + v);
                out.println("header " + api.id + " " + v + " " + hex(request, type.requestHeaderVersion(v)) + " "
                    + hex(response, type.responseHeaderVersion(v)));
            }
        }
        for (ApiVersion api : ApiVersionsResponse.filterApis(ApiMessageType.ListenerType.BROKER, false, true)) {
            out.println("advertised " + api.apiKey() + " " + api.minVersion() + " " + api.maxVersion());
        }
        for (Errors error : Errors.values()) {
            out.println("error " + error.code() + " " + error.name() + " "
                + (error.exception() instanceof RetriableException));
        }
    }

    private static String hex(Message message, short version) {
        return HexFormat.of().formatHex(CodecOracle.bytes(message, version));
    }
}
